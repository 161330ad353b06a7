"""The chat notifier, heard by a room over HTTP."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from pipegraft.app.plugins import HOOKS
from pipegraft.app.run import Heard
from pipegraft.core.plugins import Plugins
from pipegraft.core.ports import Event, RecordingProgress


class Room(http.server.ThreadingHTTPServer):
    """An incoming webhook that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Take)
        self.texts: list[str] = []
        self.answer = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hooks/s3cret"


class Take(http.server.BaseHTTPRequestHandler):
    server: Room

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.texts.append(json.loads(body)["text"])
        self.send_response(self.server.answer)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    with Room() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        monkeypatch.setenv("PIPEGRAFT_CHAT_WEBHOOK", running.url)
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def plugins() -> Plugins:
    return Plugins(HOOKS, [EntryPoint("chat-notifier", "pipegraft_chat_notifier", "pipegraft")])


def hear(plugins: Plugins, *events: Event) -> list[str]:
    """What is complained of while these events are heard."""
    shown = RecordingProgress()
    heard = Heard("shop", plugins, shown)
    for event in events:
        heard.emit(event)
    return [event.message for event in shown.events if event not in events]


PROMOTED = Event("commit", "promote: every metric is good", "production", {"step": "promote"})


def test_the_room_hears_commits_and_failures_alone(room: Room, plugins: Plugins) -> None:
    events = (
        Event("started", "Raises the weight.", "gray-release:production"),
        Event("progress", "waiting", "production"),
        PROMOTED,
        Event("finished", "done", "gray-release:production", {"ok": True, "seconds": 1.0}),
        Event("finished", "it was rolled back", "gray-release:production", {"ok": False, "seconds": 1.0}),
    )
    assert hear(plugins, *events) == []
    assert room.texts == [
        "shop in production: promote: every metric is good",
        "shop: gray-release:production failed: it was rolled back",
    ]


@pytest.mark.parametrize("answer", [302, 403, 500])
def test_a_room_that_refuses_is_named_without_the_secret(room: Room, plugins: Plugins, answer: int) -> None:
    room.answer = answer
    (complaint,) = hear(plugins, PROMOTED, PROMOTED)
    assert f"the chat room answered {answer}" in complaint
    assert "s3cret" not in complaint


def test_a_room_that_is_not_there_is_named_without_the_secret(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPEGRAFT_CHAT_WEBHOOK", "http://127.0.0.1:9/hooks/s3cret")
    (complaint,) = hear(plugins, PROMOTED)
    assert "the chat room was not reached: ConnectError" in complaint
    assert "s3cret" not in complaint


def test_a_room_that_answers_byte_by_byte_does_not_hold_the_delivery(
    plugins: Plugins, dripping: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipegraft_chat_notifier

    monkeypatch.setattr(pipegraft_chat_notifier, "_TIMEOUT", 1.0)
    monkeypatch.setenv("PIPEGRAFT_CHAT_WEBHOOK", f"{dripping}/hooks/s3cret")
    (complaint,) = hear(plugins, PROMOTED)
    assert "the chat room did not answer within 1 s" in complaint
    assert "s3cret" not in complaint


def test_without_a_webhook_nothing_is_posted(plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIPEGRAFT_CHAT_WEBHOOK", raising=False)
    assert hear(plugins, PROMOTED) == []
