"""Routing, access log and metrics for the service beside it, so that the service has business code alone."""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

UPSTREAM = ("127.0.0.1", int(os.environ.get("PIPEGRAFT_PORT_WEB", "8080")))
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"}
served: Counter[int] = Counter()
kept = threading.local()


def upstream() -> http.client.HTTPConnection:
    """This thread's connection to the service."""
    if not hasattr(kept, "connection"):
        kept.connection = http.client.HTTPConnection(*UPSTREAM, timeout=10)
    return kept.connection


def ask(method: str, path: str, headers: dict[str, str]) -> tuple[int, list[tuple[str, str]], bytes]:
    """One request to the service; once more on a fresh connection if the kept one had gone stale."""
    for last in (False, True):
        connection = upstream()
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        except (http.client.HTTPException, OSError):
            connection.close()
            if last:
                return 502, [("Content-Type", "text/plain")], b"the service did not answer\n"
    raise AssertionError


class Governance(BaseHTTPRequestHandler):
    """Forwards everything except its own pages."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: sent apart, the second waits 40 ms for an acknowledgement

    def do_GET(self) -> None:
        if self.path == "/-/metrics":
            lines = [
                f'shop_requests_total{{code="{code}"}} {count}' for code, count in sorted(served.items())
            ]
            self.answer(
                200, [("Content-Type", "text/plain; version=0.0.4")], "\n".join([*lines, ""]).encode()
            )
            return
        started = time.monotonic()
        headers = {key: value for key, value in self.headers.items() if key.lower() not in HOP_BY_HOP}
        status, received, body = ask("GET", self.path, headers)
        served[status] += 1
        self.answer(status, [pair for pair in received if pair[0].lower() not in HOP_BY_HOP], body)
        entry = {"path": self.path, "status": status, "ms": round(1000 * (time.monotonic() - started), 1)}
        sys.stdout.write(json.dumps(entry) + "\n")
        sys.stdout.flush()

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for key, value in headers:
            if key.lower() != "content-length":
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the access log above is JSON
        pass


if __name__ == "__main__":
    address = ("127.0.0.1", int(os.environ.get("PIPEGRAFT_PORT_GOVERNANCE", "8000")))
    ThreadingHTTPServer(address, Governance).serve_forever()
