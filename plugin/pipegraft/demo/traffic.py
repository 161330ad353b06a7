"""Clients of the demonstration's shop: steady requests, and what came back."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from typing import Self
from urllib.parse import urlsplit

__all__ = ["Traffic", "ask"]

_PATH = "/price?item=tea&quantity=12"


def ask(url: str, path: str = _PATH) -> tuple[int, str]:
    """One request: status code and the version that answered; status 0 if nobody did."""
    connection = _connect(url)
    try:
        return _request(connection, path)
    finally:
        connection.close()


def _connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)


def _request(connection: http.client.HTTPConnection, path: str) -> tuple[int, str]:
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = json.loads(response.read() or b"{}")
    except (OSError, http.client.HTTPException, ValueError):
        connection.close()
        return 0, "nobody"
    return response.status, str(body.get("version", "nobody"))


class Traffic:
    """Requests at a steady rate while the context is open.

    Arguments:
        url: the entrance.
        rate: requests a second.
        clients: connections kept open.
    """

    def __init__(self, url: str, rate: float = 250.0, clients: int = 4) -> None:
        self._url = url
        self._pause = clients / rate
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(clients)]
        self.answers: Counter[tuple[str, int]] = Counter()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def summary(self) -> dict[str, dict[str, int]]:
        """Version → status code → requests, so far."""
        with self._lock:
            counted = dict(self.answers)
        found: dict[str, dict[str, int]] = {}
        for (version, status), count in sorted(counted.items()):
            found.setdefault(version, {})[str(status)] = count
        return found

    def _client(self) -> None:
        connection = _connect(self._url)
        due = time.monotonic()
        while not self._stop.is_set():
            status, version = _request(connection, _PATH)
            with self._lock:
                self.answers[version, status] += 1
            due = max(due + self._pause, time.monotonic() - 1.0)  # a stall is not made up for in a burst
            self._stop.wait(max(0.0, due - time.monotonic()))
        connection.close()
