"""An HTTP server that answers from a table, for clients of APIs whose servers are too large to run here."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

__all__ = ["Answer", "Script", "scripted"]

Answer = Callable[["Script", dict[str, str]], Any]
"""What a path answers: a JSON value, a (status, JSON value) pair, or an iterator of lines to stream."""


class Script:
    """A running server.

    Arguments:
        answers: path → what it answers.
    """

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers = answers
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.headers: list[dict[str, str]] = []
        self.ended = threading.Event()
        self.url = ""

    def count(self, path: str, **query: str) -> int:
        """How often a path was asked for with these parameters."""
        return sum(
            asked == path and query.items() <= given.items() for _method, asked, given in self.requests
        )


class _Handler(BaseHTTPRequestHandler):
    script: Script

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.script.requests.append((self.command, url.path, query))
        self.script.headers.append(dict(self.headers))
        found = self.script.answers.get(url.path)
        answer = found(self.script, query) if found else (404, {"kind": "Status", "code": 404})
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        self.send_response(status)
        if hasattr(body, "__next__"):
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            for line in body:
                try:
                    self.wfile.write(json.dumps(line).encode() + b"\n")
                    self.wfile.flush()
                except OSError:
                    return
            return
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        if not isinstance(body, bytes):
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_PATCH = do_POST = do_GET  # noqa: N815 - names of the standard library

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def scripted(answers: dict[str, Answer]) -> Iterator[Script]:
    """Serve for as long as the block lasts."""
    script = Script(answers)
    handler = type("Handler", (_Handler,), {"script": script})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        script.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield script
        finally:
            script.ended.set()
            server.shutdown()
            thread.join()
