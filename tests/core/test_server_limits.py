"""Answers without end, or of another form than promised: the outside system's failure, no defect of ours."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import gitlab
import httpx2
import pytest
import requests

from pipegraft.core import foreign_text
from pipegraft.core.adapters import gitlab_requests
from pipegraft.core.adapters.gitlab_requests import limit_answers, translated
from pipegraft.core.adapters.http import Http
from pipegraft.core.adapters.waiting import Patience
from pipegraft.core.errors import OutsideError, Place, Unreachable, UsageError
from pipegraft.core.foreign_text import keep_secret, learn_secrets, printable
from pipegraft.core.reading import readable
from pipegraft.kubernetes.adapters import transport


class Endless(BaseHTTPRequestHandler):
    """`/drip` sends a byte now and then; `/flood` sends as fast as it can; `/pages` links to itself.

    `/busy/HEADER/VALUE` answers 429 with that header.
    """

    ended: threading.Event

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/busy/"):
            _, _, header, value = path.split("/")
            self.send_response(429)
            self.send_header(header, value)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        if path.endswith("/pages"):
            host, port = self.server.server_address[:2]
            self.send_header("Link", f'<http://{host!s}:{port}{self.path}>; rel="next"')
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"[]")
            return
        self.end_headers()
        block, pause = (b"x", 0.02) if path == "/drip" else (bytes(1 << 16), 0.0)
        try:
            while not self.ended.wait(pause):
                self.wfile.write(block)
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    ended = threading.Event()
    handler = type("Handler", (Endless,), {"ended": ended})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        ended.set()
        running.shutdown()
        thread.join()


def test_a_body_that_drips_is_given_up_at_the_deadline_of_the_call(server: str) -> None:
    with (
        Http("it", patience=Patience(attempts=1, deadline=0.2, silence=30), proxies=False) as http,
        pytest.raises(Unreachable, match="not done in time"),
    ):
        http.ask("GET", f"{server}/drip")


def test_a_body_without_end_is_given_up(server: str) -> None:
    with Http("it", proxies=False) as http, pytest.raises(OutsideError, match="at most 1000000 bytes"):
        http.ask("GET", f"{server}/flood", largest=1_000_000)


@pytest.mark.parametrize(("path", "told"), [("/flood", "bytes from"), ("/drip", "s from")])
def test_clients_of_libraries_give_up_too(
    server: str, path: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gitlab_requests, "_LARGEST", 1_000_000)
    monkeypatch.setattr(gitlab_requests, "_LONGEST", 0.2)
    with requests.Session() as session:
        limit_answers(session)
        with pytest.raises(requests.ConnectionError, match=told):
            session.get(server + path, timeout=30)


def test_pages_that_lead_to_themselves_end(server: str) -> None:
    client = gitlab.Gitlab(f"{server}/pages", timeout=30)
    limit_answers(client.session)
    with pytest.raises(Unreachable), translated("projects"):
        list(client.http_list("/pages", iterator=True))


def test_an_event_of_a_watch_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_LARGEST", 100)

    class Blocks(httpx2.SyncByteStream):
        def __init__(self, *blocks: bytes) -> None:
            self._blocks = blocks

        def __iter__(self) -> Iterator[bytes]:
            yield from self._blocks

    many = [b"x" * 60 + b"\n"] * 50
    assert list(transport._Bounded(Blocks(*many), lasting=True)) == many
    with pytest.raises(httpx2.ReadError, match="more than 100 bytes"):
        list(transport._Bounded(Blocks(b"x" * 60, b"x" * 60), lasting=True))
    with pytest.raises(httpx2.ReadError, match="more than 100 bytes"):
        list(transport._Bounded(Blocks(*many), lasting=False))


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("Retry-After/7", "7"),
        (f"Retry-After/{'9' * 400}", "3600"),
        ("Retry-After/soon", "1"),
        ("RateLimit-Reset/99999999999999", "3600"),
        ("RateLimit-Reset/never", "1"),
    ],
)
def test_the_library_sleeps_no_longer_than_an_hour_whatever_a_server_says(
    server: str, said: str, seconds: str
) -> None:
    with requests.Session() as session:
        limit_answers(session)
        assert session.get(f"{server}/busy/{said}").headers["Retry-After"] == seconds


@pytest.mark.parametrize(
    "answer", ["5", "null", "[]", '{"metadata": 5}', '{"metadata": []}', '{"items": {}}']
)
def test_an_answer_of_another_form_is_the_servers_failure_and_names_the_place(answer: str) -> None:
    told = r"the system: expected an answer .* in test_server_limits\.py:\d+"
    with pytest.raises(Unreachable, match=told), readable("the system"):
        json.loads(answer)["metadata"]["name"]
    with pytest.raises(UsageError, match="mine"), readable("the system"):
        raise UsageError("mine")


def test_a_defect_of_ours_is_no_failure_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    place: Any = Place("f")
    for wrong in (printable, keep_secret):  # they take texts
        with pytest.raises((TypeError, AttributeError)), readable("the system"):
            wrong(place)
    monkeypatch.setattr(foreign_text, "_spelled", lambda: "")
    with pytest.raises(TypeError, match="takes 0 positional"), readable("the system"):
        printable("\x1b")


class Word(StrEnum):
    ONE = "one"


def test_a_typo_on_a_type_of_ours_is_a_defect_though_it_derives_from_a_plain_one() -> None:
    word: Any = Word.ONE
    with pytest.raises(AttributeError), readable("the system"):
        learn_secrets(word)
