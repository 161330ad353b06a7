"""The embedded engine's status over HTTP, for gates, people and scrapers on this machine."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol, Self

from pipegraft.errors import OutsideError, PipegraftError, Unreachable

__all__ = ["StatusServer", "StatusSource"]


_LONGEST_WAIT = 1.0
"""Seconds after which a waiting page is looked at again, whatever it was told."""


class StatusSource(Protocol):
    """What the server tells."""

    def names(self) -> Sequence[str]:
        """The applications known so far."""

    def status(self, name: str) -> dict[str, Any]:
        """What is known of an application.

        Raises:
            UsageError: there is none of that name.
        """

    def wait(self, seconds: float) -> None:
        """Return when the status of an application has changed, after `seconds` at the latest."""


class StatusServer:
    """``GET /applications/NAME``, ``GET /applications``, ``GET /metrics``, ``GET /healthz``, ``POST /sync``.

    Whoever sends the ``ETag`` of the last answer as ``If-None-Match`` and ``Prefer: wait=SECONDS``
    (RFC 7240) is answered as soon as there is another one, with 304 if there is none in that time.

    Arguments:
        host, port: where to listen; port 0 lets the system choose.
        source: the engine.
        sync: has it look at the repository now.
        metrics: the proxy's counters in Prometheus' text format.

    Raises:
        Unreachable: the address cannot be listened on.
    """

    def __init__(
        self,
        host: str,
        port: int,
        source: StatusSource,
        sync: Callable[[], None],
        metrics: Callable[[], str],
    ) -> None:
        class Handler(_Handler):
            pages = _Pages(source, sync, metrics)

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise Unreachable(
                f"cannot listen on {host}:{port}: {error.strerror}",
                fix="end what listens there, or choose another address",
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="status", daemon=True
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Pages:
    """Answers by path: status code, media type, body."""

    def __init__(self, source: StatusSource, sync: Callable[[], None], metrics: Callable[[], str]) -> None:
        self._source = source
        self._sync = sync
        self._metrics = metrics

    def get(self, path: str) -> tuple[int, str, str]:
        """The page at a path."""
        try:
            if path == "/healthz":
                return 200, "text/plain", "ok\n"
            if path == "/metrics":
                return 200, "text/plain; version=0.0.4; charset=utf-8", self._metrics()
            if path == "/applications":
                return _json(200, {"applications": list(self._source.names())})
            if path.startswith("/applications/"):
                return _json(200, self._source.status(path.removeprefix("/applications/")))
        except OutsideError as error:
            return _json(503, {"error": str(error)})
        except PipegraftError as error:
            return _json(404, {"error": str(error)})
        return _json(404, {"error": f"no such page: {path}"})

    def wait(self, seconds: float) -> None:
        """Return when a page may have changed."""
        self._source.wait(seconds)

    def post(self, path: str) -> tuple[int, str, str]:
        """Do what a path stands for."""
        if path != "/sync":
            return _json(404, {"error": f"nothing to do at {path}"})
        self._sync()
        return _json(202, {})


class _Handler(BaseHTTPRequestHandler):
    pages: _Pages
    protocol_version = "HTTP/1.1"
    server_version = "pipegraft"

    def do_GET(self) -> None:
        path, seen = self.path.partition("?")[0], self.headers.get("If-None-Match")
        end = time.monotonic() + _patience(self.headers.get("Prefer", ""))
        while True:
            status, media_type, body = self.pages.get(path)
            left = end - time.monotonic()
            if seen != _tag(body) or left <= 0:
                return self._answer(status, media_type, body)
            self.pages.wait(min(left, _LONGEST_WAIT))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(*self.pages.post(self.path.partition("?")[0]))

    def _answer(self, status: int, media_type: str, body: str) -> None:
        known = self.command == "GET" and self.headers.get("If-None-Match") == _tag(body)
        content = b"" if known else body.encode()
        self.send_response(304 if known else status)
        self.send_header("Content-Type", media_type)
        self.send_header("ETag", _tag(body))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with suppress(ConnectionError):  # who asked may have gone: a gate that was cancelled, for example
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing: every gate asks several times a second."""


def _tag(body: str) -> str:
    return f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'


def _patience(prefer: str) -> float:
    """Seconds of ``Prefer: wait=SECONDS``."""
    found = re.search(r"\bwait=(\d{1,3})\b", prefer)
    return float(found[1]) if found else 0.0


def _json(status: int, data: dict[str, Any]) -> tuple[int, str, str]:
    return status, "application/json", json.dumps(data, indent=1) + "\n"
