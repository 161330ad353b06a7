"""Clients of the demonstration's shop: steady requests, and what came back."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Self

from pipegraft.core.adapters.attempts import Patience
from pipegraft.core.adapters.http import Answer, Http
from pipegraft.core.errors import OutsideError

__all__ = ["Traffic", "answer_of", "ask"]

_PATH = "/price?item=tea&quantity=12"


def _client() -> Http:
    return Http("the demonstration's shop", patience=Patience(attempts=1, silence=5), proxies=False)


def answer_of(url: str) -> Answer:
    """One request to the demonstration's engine.

    Raises:
        OutsideError: it does not answer, or refuses.
    """
    with _client() as http:
        return http.ask("GET", url)


def ask(url: str, path: str = _PATH) -> tuple[int, str]:
    """One request: status code and the version that answered; status 0 if nobody did."""
    with _client() as http:
        return _request(http, url + path)


def _request(http: Http, url: str) -> tuple[int, str]:
    try:
        answer = http.ask("GET", url, good=range(600))
        return answer.status, str(answer.json().get("version", "nobody"))
    except OutsideError:
        return 0, "nobody"


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
        due = time.monotonic()
        with _client() as http:
            while not self._stop.is_set():
                status, version = _request(http, self._url + _PATH)
                with self._lock:
                    self.answers[version, status] += 1
                due = max(due + self._pause, time.monotonic() - 1.0)  # a stall is not made up for in a burst
                self._stop.wait(max(0.0, due - time.monotonic()))
