"""Asks containers how they are, beside the engine's loop so that a slow answer holds nothing up."""

from __future__ import annotations

import http.client
import socket
from concurrent.futures import Future, ThreadPoolExecutor

from pipegraft.ports.runtime import HealthProbe

__all__ = ["Questioner", "ask"]


def ask(probe: HealthProbe, port: int) -> str:
    """Ask once.

    Arguments:
        port: where the declared port really listens.

    Returns:
        Empty if all is well, else what was answered, one clause.
    """
    try:
        if probe.path is None:
            with socket.create_connection(("127.0.0.1", port), timeout=probe.timeout):
                return ""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=probe.timeout)
        try:
            connection.request("GET", probe.path, headers={"User-Agent": "pipegraft-probe"})
            status = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        return f"{_target(probe)}: {str(error) or type(error).__name__}"
    return "" if 200 <= status < 400 else f"{_target(probe)} answered {status}"


def _target(probe: HealthProbe) -> str:
    return f"GET {probe.path} on port {probe.port}" if probe.path else f"connecting to port {probe.port}"


class Questioner:
    """Asks one question again and again.

    Arguments:
        probe: the question.
        port: where the declared port really listens.
        began: when the container started, seconds since the epoch.
        answered: whether it is known to have answered well before.
    """

    def __init__(self, probe: HealthProbe, port: int, began: float, *, answered: bool = False) -> None:
        self._probe = probe
        self._port = port
        self._next = began + probe.delay
        self._pending: Future[str] | None = None
        self._bad = 0
        self.passed = answered
        """Whether the last answers that count were good."""
        self.failing = False
        """Whether as many answers in a row were bad as count."""
        self.answer = "not asked yet"
        """The last bad answer."""

    def advance(self, now: float, pool: ThreadPoolExecutor) -> None:
        """Take an answer that has come and ask again if it is time."""
        if self._pending is not None and self._pending.done():
            self._take(self._pending.result())
            self._pending = None
            hurried = not self.passed and not self.failing  # until it is well for the first time
            self._next = now if hurried else now + self._probe.period
        if self._pending is None and now >= self._next:
            self._pending = pool.submit(ask, self._probe, self._port)

    def _take(self, answer: str) -> None:
        if not answer:
            self._bad, self.passed, self.failing = 0, True, False
            return
        self.answer = answer
        self._bad += 1
        if self._bad >= self._probe.failures and self.passed:
            self.passed, self.failing = False, True
