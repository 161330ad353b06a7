"""A git server over smart HTTP on this machine: ``git http-backend`` behind Python's own HTTP server.

It counts requests and bytes, and fails when told to.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO

__all__ = ["HttpGit", "serve"]

_PIECE = 1 << 16


@dataclass(slots=True)
class HttpGit:
    """A running server.

    Arguments:
        folder: whose repositories it serves; each must allow ``http.receivepack`` to be written.
        url: of that folder.
        requests: method and path of each request, in order.
        sent: bytes of all answers, without headers.
        authorizations: the header of each request.
        before: asked with each request's method and path; answers a status to fail with, or None.
        authorization: the header that every request must have, if any.
        speaks_version_2: whether clients may ask for version 2 of the protocol.
        running: how many requests are being answered now, those of dead clients too.
    """

    folder: Path
    url: str = ""
    requests: list[str] = field(default_factory=list)
    sent: int = 0
    authorizations: list[str | None] = field(default_factory=list)
    before: Callable[[str, str], int | None] = lambda _method, _path: None
    authorization: str | None = None
    speaks_version_2: bool = True
    running: int = 0
    _count: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Count a request as `running` until the block ends."""
        with self._count:
            self.running += 1
        try:
            yield
        finally:
            with self._count:
                self.running -= 1


@contextmanager
def serve(folder: Path) -> Iterator[HttpGit]:
    """Serve every repository of a folder until the block ends."""
    state = HttpGit(folder)
    handler = type("Handler", (_Handler,), {"state": state})
    server = _Server(("127.0.0.1", 0), handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    state: HttpGit
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        with self.state.answering():
            self._answer()

    do_POST = do_GET  # noqa: N815 - the standard library's name

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        body = self._body()
        self.state.requests.append(f"{self.command} {self.path}")
        self.state.authorizations.append(self.headers.get("Authorization"))
        status = self.state.before(self.command, self.path)
        if self.state.authorization not in {None, self.headers.get("Authorization")}:
            status = 401
        if status is None:
            self._run_backend(body)
            return
        self.send_response(status)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _run_backend(self, body: bytes) -> None:
        with subprocess.Popen(
            ["git", "http-backend"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment(len(body)),
        ) as backend:
            assert backend.stdin is not None
            assert backend.stdout is not None
            backend.stdin.write(body)
            backend.stdin.close()
            status, headers = _read_head(backend.stdout)
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while piece := backend.stdout.read(_PIECE):
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                self.state.sent += len(piece)
            self.wfile.write(b"0\r\n\r\n")

    def _environment(self, length: int) -> dict[str, str]:
        """What a CGI program is told (RFC 3875, git-http-backend(1))."""
        path, _, query = self.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_PROJECT_ROOT": str(self.state.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "REMOTE_USER": "tester",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "CONTENT_LENGTH": str(length),
        }
        if self.state.speaks_version_2:
            environment["GIT_PROTOCOL"] = self.headers.get("Git-Protocol", "")
        return environment

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)


def _read_head(stream: IO[bytes]) -> tuple[int, list[tuple[str, str]]]:
    status = 200
    headers: list[tuple[str, str]] = []
    for line in iter(stream.readline, b"\r\n"):
        name, _, value = line.decode().partition(":")
        if name == "Status":
            status = int(value.split()[0])
        else:
            headers.append((name, value.strip()))
    return status, headers
