"""Posts what a release does to a chat room's incoming webhook."""

from __future__ import annotations

import os

import httpx

from pipegraft.hookspecs import hookimpl
from pipegraft.ports.progress import Event

PIPEGRAFT_HOOKS = "1"

WEBHOOK = "PIPEGRAFT_CHAT_WEBHOOK"
_TIMEOUT = 5.0
"""Seconds the room may take; the delivery waits for it."""


class RoomDoesNotAnswer(Exception):
    """The message was not taken; says why, without the webhook's URL, which is a secret."""


@hookimpl
def pipegraft_event(app: str, event: Event) -> None:
    """Post an event, if people want to know of it."""
    url = os.environ.get(WEBHOOK)
    text = message(app, event)
    if url and text:
        post(url, text)


def message(app: str, event: Event) -> str | None:
    """What to tell people of an event, None if nothing."""
    if event.kind == "commit" and "step" in event.data:
        return f"{app} in {event.subject}: {event.message}"
    if event.kind == "finished" and not event.data.get("ok", True):
        return f"{app}: {event.subject} failed: {event.message}"
    return None


def post(url: str, text: str) -> None:
    """Send a message.

    Raises:
        RoomDoesNotAnswer: it was not taken.
    """
    try:
        answer = httpx.post(url, json={"text": text}, timeout=_TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RoomDoesNotAnswer(f"the chat room was not reached: {type(error).__name__}") from None
    if not answer.is_success:  # a redirect, to a page for signing in for instance, took no message
        raise RoomDoesNotAnswer(f"the chat room answered {answer.status_code}")
