"""The embedded engine over HTTP: its status, for gates, people and scrapers, and webhooks of git servers.

Sources of the latter: GitLab's documentation "Webhooks" and "Webhook events" (``X-Gitlab-Token``, push
events); GitHub's "Validating webhook deliveries" (``X-Hub-Signature-256``), which Gitea and Forgejo send.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol, Self

from pipegraft.core.errors import AccessDenied, OutsideError, PipegraftError, Unreachable, UsageError
from pipegraft.core.reading import load_json
from pipegraft.engine.adapters.metrics import INSTANCES

__all__ = ["Push", "StatusServer", "StatusSource", "read_push"]


_HEADS = "refs/heads/"


@dataclass(frozen=True, slots=True)
class Push:
    """A branch was pushed.

    Arguments:
        urls: by which the repository is known.
    """

    urls: tuple[str, ...]
    branch: str


def read_push(headers: Mapping[str, str], body: bytes, secret: str) -> Push | None:
    """Understand a webhook.

    Arguments:
        headers: of the request, names in lower case.
        secret: that the sender must know.

    Returns:
        None for an event that is no push to a branch.

    Raises:
        AccessDenied: the sender does not know the secret.
        UsageError: the body is none of a push.
    """
    _check(headers, body, secret)
    try:
        data = load_json(body)
        reference = str(data.get("ref") or "")
        repository = data.get("project") or data.get("repository") or {}
        urls = tuple(dict.fromkeys(_urls({**(data.get("repository") or {}), **repository})))
    except (ValueError, AttributeError, TypeError) as error:
        raise UsageError(f"expected a push event as JSON: {error}") from error
    if not reference.startswith(_HEADS):
        return None
    return Push(urls, reference.removeprefix(_HEADS))


def _check(headers: Mapping[str, str], body: bytes, secret: str) -> None:
    token = headers.get("x-gitlab-token")
    signature = headers.get("x-hub-signature-256")
    if token is not None:
        known = hmac.compare_digest(token.encode(), secret.encode())
    elif signature is not None:
        expected = f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
        known = hmac.compare_digest(signature.encode(), expected.encode())
    else:
        known = False
    if not known:
        raise AccessDenied(
            "expected the webhook's secret in X-Gitlab-Token, or a signature in X-Hub-Signature-256",
            fix="set the same secret at the git server and in PIPEGRAFT_WEBHOOK_SECRET",
        )


def _urls(repository: Mapping[str, Any]) -> list[str]:
    names = ("git_http_url", "git_ssh_url", "web_url", "clone_url", "ssh_url", "html_url", "url", "http_url")
    return [str(repository[name]) for name in names if repository.get(name)]


_LONGEST_WAIT = 1.0
"""Seconds after which a waiting page is looked at again, whatever it was told."""


_MOST_CLIENTS = 128
_SILENCE = 15.0
"""Seconds in which a request must arrive."""
_PAGES = f"/applications, /applications/NAME, /metrics, {INSTANCES} and /healthz"
_LONGEST_BODY = 4 << 20
"""Bytes of a webhook that are read; GitLab sends at most twenty commits of a push."""


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

    def sync(self, push: Push | None = None) -> Sequence[str]:
        """Have what was pushed looked at, or all repositories; answers which ones are."""


class StatusServer:
    """``GET /applications/NAME``, ``GET /applications``, ``GET /metrics``, ``GET /instances``,
    ``GET /healthz``; ``POST /sync`` and ``POST /webhook``.

    Whoever sends the ``ETag`` of the last answer as ``If-None-Match`` and ``Prefer: wait=SECONDS``
    (RFC 7240) is answered as soon as there is another one, with 304 if there is none in that time.

    Arguments:
        host, port: where to listen; port 0 lets the system choose.
        source: the engine.
        proxied: path of a page of the proxy's → that page.
        secret: that senders of webhooks must know; without one nobody is listened to.

    Raises:
        Unreachable: the address cannot be listened on.
    """

    def __init__(
        self,
        host: str,
        port: int,
        source: StatusSource,
        proxied: Callable[[str], str],
        secret: str = "",
    ) -> None:
        class Handler(_Handler):
            pages = _Pages(source, proxied, secret)

        try:
            self._server = _Server((host, port), Handler)
        except OSError as error:
            raise Unreachable(
                f"cannot listen on {host}:{port}: {error.strerror}",
                fix="end what listens there, or choose another address",
            ) from error
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

    def __init__(self, source: StatusSource, proxied: Callable[[str], str], secret: str) -> None:
        self._source = source
        self._proxied = proxied
        self._secret = secret

    def get(self, path: str) -> tuple[int, str, str]:
        """The page at a path."""
        try:
            if path == "/healthz":
                return 200, "text/plain", "ok\n"
            if path == "/metrics":
                return 200, "text/plain; version=0.0.4; charset=utf-8", self._proxied(path)
            if path == INSTANCES:
                return 200, "application/json", self._proxied(path)
            if path == "/applications":
                return _json(200, {"applications": list(self._source.names())})
            if path.startswith("/applications/"):
                return _json(200, self._source.status(path.removeprefix("/applications/")))
        except OutsideError as error:
            return _json(503, {"error": str(error)})
        except PipegraftError as error:
            return _json(404, {"error": str(error)})
        return _json(404, {"error": f"there is no page {path}; there are {_PAGES}"})

    def wait(self, seconds: float) -> None:
        """Return when a page may have changed."""
        self._source.wait(seconds)

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str, str]:
        """Do what a path stands for."""
        if path == "/sync":
            return _json(202, {"looking-at": list(self._source.sync())})
        if path != "/webhook":
            return _json(404, {"error": f"nothing to do at {path}"})
        if not self._secret:
            return _json(403, {"error": "this engine was given no PIPEGRAFT_WEBHOOK_SECRET"})
        try:
            push = read_push(headers, body, self._secret)
        except AccessDenied as error:
            return _json(403, {"error": str(error)})
        except UsageError as error:
            return _json(400, {"error": str(error)})
        return _json(202, {"looking-at": list(self._source.sync(push)) if push else []})


class _Server(ThreadingHTTPServer):
    """Serves as many at once as it has places; who comes then is sent away."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._places = threading.BoundedSemaphore(_MOST_CLIENTS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # as socketserver declares them
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing for a client that left or fell silent."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    timeout = _SILENCE
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
        size = self.headers.get("Content-Length") or "0"
        if not size.isdecimal() or int(size) > _LONGEST_BODY:
            self.close_connection = True
            return self._answer(*_json(413, {"error": f"expected at most {_LONGEST_BODY} bytes"}))
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self._body(int(size))
        if body is None:
            self.close_connection = True
            return self._answer(*_json(408, {"error": f"expected the body within {_SILENCE:g} seconds"}))
        return self._answer(*self.pages.post(self.path.partition("?")[0], headers, body))

    def _body(self, size: int) -> bytes | None:
        """What was sent, None if it does not arrive in time."""
        end, body = time.monotonic() + _SILENCE, b""
        while len(body) < size and time.monotonic() < end:
            block = self.rfile.read1(size - len(body))
            if not block:
                break
            body += block
        return body if len(body) == size else None

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
