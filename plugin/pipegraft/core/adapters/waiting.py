"""The machine's clock, and how often and how long one call is tried by it; the waits are tenacity's."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import tenacity

from pipegraft.core.errors import Unreachable
from pipegraft.core.ports import Clock

__all__ = ["Again", "Attempts", "Patience", "SystemClock", "retry_after"]


_SLOWEST = 1 << 18
"""Bytes a second that a transfer may always take, beside the deadline of a call."""
_LONGEST_TOLD = 86400.0
"""Seconds that a server is taken at its word for: hundreds of digits would be infinite."""
_MEND = "check the address, proxy and certificates, or run this again"


class Again(Exception):
    """The same request may succeed later.

    Arguments:
        reason: what happened, as a clause.
        after: seconds the server asks to wait, None if it does not say.
    """

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits of one call.

    Arguments:
        attempts: how often a request is sent before it has failed; being told to wait does not count.
        deadline: seconds that a call may take, besides what its bytes take on a slow line.
        silence: seconds without a byte after which a connection is given up.
        first_wait: seconds before the second attempt, about doubled each time up to `longest_wait`.
    """

    attempts: int = 6
    deadline: float = 300.0
    silence: float = 60.0
    first_wait: float = 0.25
    longest_wait: float = 15.0


class Attempts:
    """The attempts of one call: ``for attempt in attempts: with attempt: …`` until the block succeeds.

    Arguments:
        what: the call, for messages.
        size: bytes that it moves.
    """

    def __init__(self, patience: Patience, clock: Clock, what: str, size: int = 0) -> None:
        self._patience = patience
        self._clock = clock
        self._what = what
        self._end = clock.now() + patience.deadline + size / _SLOWEST
        self._failures = 0
        self._given_up = ""

    def __iter__(self) -> Iterator[tenacity.AttemptManager]:
        """One attempt after another.

        Raises:
            Unreachable: no attempt or no time is left.
        """
        attempts = tenacity.Retrying(
            sleep=self._clock.sleep,
            retry=tenacity.retry_if_exception_type(Again),
            wait=self._wait,
            stop=self._stop,
            reraise=True,
        )
        try:
            yield from attempts
        except Again as error:
            raise Unreachable(f"{self._what}: {error}{self._given_up}", fix=_MEND) from error

    def check(self) -> None:
        """Raise `Unreachable` when time is up."""
        if self._clock.now() > self._end:
            raise Unreachable(
                f"{self._what}: not done in time", fix="run again: what has arrived is not sent twice"
            )

    def silence(self) -> float:
        """Seconds to wait for the next byte."""
        return max(0.001, min(self._patience.silence, self._end - self._clock.now()))

    def progressed(self) -> None:
        """Something arrived: failures from here on are counted anew."""
        self._failures = 0

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """Seconds before the next attempt: what the server asks for, else about doubled each time."""
        told = _told(state)
        if told is not None:
            return told
        self._failures += 1
        step = min(self._patience.first_wait * 2 ** (self._failures - 1), self._patience.longest_wait)
        return random.uniform(step / 2, step)  # noqa: S311 - spreads clients, hides nothing

    def _stop(self, state: tenacity.RetryCallState) -> bool:
        """Whether the attempt that failed was the last; being told to wait costs none."""
        if self._failures >= self._patience.attempts and _told(state) is None:
            self._given_up = f" ({self._failures} attempts)" if self._failures > 1 else ""
            return True
        if self._clock.now() + state.upcoming_sleep > self._end:
            self._given_up = ", and the deadline comes before the next attempt"
            return True
        return False


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds, at most a day, that a `Retry-After` header asks for (RFC 9110, 10.2.3); None for nothing.

    Arguments:
        now: seconds since the epoch.
    """
    if not header:
        return None
    if (seconds := header.strip()).isdecimal():
        return min(float(seconds), _LONGEST_TOLD)
    try:
        when = parsedate_to_datetime(header)
        moment = when if when.tzinfo else when.replace(tzinfo=UTC)
        told = (moment - datetime.fromtimestamp(now, UTC)).total_seconds()
        return min(max(0.0, told), _LONGEST_TOLD)
    except (ValueError, OverflowError):
        return None


def _told(state: tenacity.RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.after if isinstance(error, Again) else None


class SystemClock:
    """`Clock` of this machine."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            time.sleep(seconds)
