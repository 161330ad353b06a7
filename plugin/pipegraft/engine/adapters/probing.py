"""Asks containers how they are, beside the engine's loop so that a slow answer holds nothing up.

Where they listen is chosen here, too: a free port of this machine for each.
"""

from __future__ import annotations

import random
import socket
import ssl
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import httpx2

from pipegraft.core.errors import OutsideError
from pipegraft.engine.ports import HealthProbe

__all__ = ["Probed", "Probes", "Questioner", "ask", "free_port"]


_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Probes speak plain HTTP: no authority needs to be read for each."""
_ALIVE = 1.0
"""Seconds a container without a readiness probe must have run to count as ready."""

_RANGE = range(20_000, 32_000)
"""Below what systems take for outgoing connections, so that none of those takes a port meanwhile."""


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
        url, agent = f"http://127.0.0.1:{port}{probe.path}", {"User-Agent": "pipegraft-probe"}
        with httpx2.stream(
            "GET", url, headers=agent, timeout=probe.timeout, trust_env=False, verify=_NO_TLS
        ) as answer:
            status = answer.status_code
    except (OSError, httpx2.HTTPError) as error:
        return f"{_target(probe, port)}: {str(error) or type(error).__name__}"
    return "" if 200 <= status < 400 else f"{_target(probe, port)} answered {status}"


def _target(probe: HealthProbe, port: int) -> str:
    here = "" if port == probe.port else f", which is {port} on this machine (PIPEGRAFT_PORT_… tells it)"
    named = f"port {probe.port}{here}"
    return f"GET {probe.path} on {named}" if probe.path else f"connecting to {named}"


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
        self._patience = began + probe.delay + probe.period * probe.failures
        self._pending: Future[str] | None = None
        self._bad = 0
        self.passed = answered
        """Whether the last answers that count were good."""
        self.failing = False
        """Whether as many answers in a row were bad as count."""
        self.gave_up = False
        """Whether it was never well in the time that it is given for that."""
        self.answer = "not asked yet"
        """The last bad answer."""

    def advance(self, now: float, pool: ThreadPoolExecutor) -> None:
        """Take an answer that has come and ask again if it is time."""
        if self._pending is not None and self._pending.done():
            self._take(self._pending.result())
            self._pending = None
            self.gave_up = not self.passed and not self.failing and now >= self._patience
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


class Probed(Protocol):
    """A container as far as probes are concerned."""

    @property
    def name(self) -> str: ...

    @property
    def readiness(self) -> HealthProbe | None: ...

    @property
    def liveness(self) -> HealthProbe | None: ...

    @property
    def startup(self) -> HealthProbe | None: ...


class Probes:
    """All questions to one instance.

    Arguments:
        ports: declared port → the one of the loopback interface where it listens.
        began: when it was started, seconds since the epoch.
        well: whether it is known to have been ready before.
    """

    def __init__(
        self, containers: Sequence[Probed], ports: Mapping[int, int], began: float, *, well: bool
    ) -> None:
        def question(probe: HealthProbe) -> Questioner:
            return Questioner(probe, ports[probe.port], began, answered=well)

        self._began = began
        self._startup = {one.name: question(one.startup) for one in containers if one.startup}
        self._readiness = [question(one.readiness) for one in containers if one.readiness]
        self._liveness = {one.name: question(one.liveness) for one in containers if one.liveness}
        self._least_age = _ALIVE if any(not one.readiness for one in containers) else 0.0

    def advance(self, now: float, pool: ThreadPoolExecutor) -> None:
        """Take answers that have come, and ask what it is time to ask."""
        waiting = [question for question in self._startup.values() if not question.passed]
        for question in waiting or (*self._readiness, *self._liveness.values()):
            question.advance(now, pool)

    @property
    def dead(self) -> tuple[str, str] | None:
        """A container that does not live, and what is wrong with it."""
        for name, question in self._startup.items():
            if question.gave_up:
                return name, f"did not start: {question.answer}"
        for name, question in self._liveness.items():
            if question.failing:
                return name, f"does not live: {question.answer}"
        return None

    @property
    def unready(self) -> str | None:
        """Why it is not ready, None if every readiness probe is content."""
        questions = (*self._startup.values(), *self._readiness)
        return next((one.answer for one in questions if not one.passed), None)

    def old_enough(self, now: float) -> bool:
        """Whether it has run for as long as counts where no probe can tell."""
        return now - self._began >= self._least_age


def free_port(taken: Collection[int]) -> int:
    """A port nobody listens on, chosen at random so that several engines seldom meet.

    Arguments:
        taken: ports given away that may not be listened on yet.

    Raises:
        OutsideError: there is none.
    """
    for port in random.sample(_RANGE, len(_RANGE)):
        if port in taken:
            continue
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OutsideError(f"no port between {_RANGE.start} and {_RANGE.stop} is free on this machine")
