"""Posts what a release does to a chat room's incoming webhook."""

from __future__ import annotations

import asyncio
import os

import httpx2

from pipegraft.core.plugins import hookimpl
from pipegraft.core.ports import Event

PIPEGRAFT_HOOKS = "2"

WEBHOOK = "PIPEGRAFT_CHAT_WEBHOOK"
_TIMEOUT = 5.0
"""Seconds the room may take in all, however slowly it answers; the delivery waits for it."""


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
        status = asyncio.run(_post(url, text))
    except TimeoutError:
        raise RoomDoesNotAnswer(f"the chat room did not answer within {_TIMEOUT:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise RoomDoesNotAnswer(f"the chat room was not reached: {type(error).__name__}") from None
    if not httpx2.codes.is_success(status):  # a redirect, to a page for signing in for instance, took nothing
        raise RoomDoesNotAnswer(f"the chat room answered {status}")


async def _post(url: str, text: str) -> int:
    """The status code; what the room says beside it is not read."""
    async with (
        asyncio.timeout(_TIMEOUT),  # in all: httpx2's own limit is one for each read
        httpx2.AsyncClient(timeout=_TIMEOUT) as client,
        client.stream("POST", url, json={"text": text}) as answer,
    ):
        return answer.status_code
