"""A git server over smart HTTP for tests: `git http-backend` behind Python's own HTTP server."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class HttpGit:
    """A running server and what it has seen.

    Arguments:
        url: of the folder it serves.
        requests: method and path of each request, in order.
        sent: bytes of all answers.
        authorizations: header of each request.
        before: called with each request's method and path; answers a status to fail with, or None.
        protocol: whether clients may speak version 2.
    """

    url: str = ""
    requests: list[str] = field(default_factory=list)
    sent: int = 0
    authorizations: list[str | None] = field(default_factory=list)
    before: Callable[[str, str], int | None] = lambda _method, _path: None
    protocol: bool = True
    password: str | None = None


@contextmanager
def serve(folder: Path) -> Iterator[HttpGit]:
    """Serve every repository of a folder; each must allow ``http.receivepack``."""
    state = HttpGit()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

        def _answer(self) -> None:
            path, _, query = self.path.partition("?")
            body = self._body()
            state.requests.append(f"{self.command} {self.path}")
            authorization = self.headers.get("Authorization")
            state.authorizations.append(authorization)
            status = state.before(self.command, self.path)
            if status is None and state.password is not None and authorization != state.password:
                status = 401
            if status is not None:
                self._send(
                    status, [("WWW-Authenticate", 'Basic realm="git"')] if status == 401 else [], b"no\n"
                )
                return
            environment = {
                "PATH": os.environ["PATH"],
                "GIT_CONFIG_GLOBAL": os.devnull,
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "safe.directory",
                "GIT_CONFIG_VALUE_0": "*",
                "GIT_PROJECT_ROOT": str(folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "REMOTE_USER": "tester",
                "REMOTE_ADDR": "127.0.0.1",
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "CONTENT_LENGTH": str(len(body)),
            }
            if state.protocol and (version := self.headers.get("Git-Protocol")):
                environment["GIT_PROTOCOL"] = version
            done = subprocess.run(
                ["git", "http-backend"], input=body, capture_output=True, env=environment, check=False
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = [
                (name.strip(), value.strip())
                for name, _, value in (line.partition(":") for line in head.decode().splitlines())
            ]
            code = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
            self._send(code, [pair for pair in headers if pair[0] != "Status"], content)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _send(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            state.sent += len(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
