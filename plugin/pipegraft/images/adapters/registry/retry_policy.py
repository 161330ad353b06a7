"""How long to wait for a registry, and how often to ask again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pipegraft.core.clock import Clock
from pipegraft.core.errors import Unreachable

__all__ = ["AGAIN", "Deadline", "Patience", "retry_after"]

AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""
_MEND = "check the registry's address, proxy and certificates, or run this again"
_SLOWEST = 1 << 18
"""Bytes a second that an upload may always take, beside the deadline of a call."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits of one call of the port.

    Arguments:
        attempts: how often a request is sent before it has failed; being told to wait does not count.
        deadline: seconds that a call may take, besides what its bytes take on a slow line.
        silence: seconds without a byte after which a connection is given up.
        first_wait: seconds before the second attempt; doubled each time up to `longest_wait`.
    """

    attempts: int = 6
    deadline: float = 300.0
    silence: float = 60.0
    first_wait: float = 0.25
    longest_wait: float = 15.0

    def start(self, clock: Clock, what: str, size: int = 0) -> Deadline:
        """Begin a call that moves `size` bytes."""
        return Deadline(self, clock, what, clock.now() + self.deadline + size / _SLOWEST)


class Deadline:
    """The moment by which a call must have ended, and the attempts it has left.

    Arguments:
        what: the call, for messages.
        end: seconds since the epoch.
    """

    def __init__(self, patience: Patience, clock: Clock, what: str, end: float) -> None:
        self._patience = patience
        self._clock = clock
        self._what = what
        self._end = end
        self._failures = 0

    def check(self) -> None:
        """Raise `Unreachable` when time is up."""
        if self._clock.now() > self._end:
            raise Unreachable(
                f"{self._what}: not done in time", fix="run again: what has arrived is not sent twice"
            )

    def silence(self) -> float:
        """Seconds to wait for the next byte."""
        return max(0.001, min(self._patience.silence, self._end - self._clock.now()))

    def wait(self, reason: str, told: float | None = None) -> None:
        """Wait before the next attempt.

        Arguments:
            reason: why the last one failed.
            told: seconds the registry asks us to wait.

        Raises:
            Unreachable: no attempt or no time is left.
        """
        if told is None:
            self._failures += 1
            if self._failures >= self._patience.attempts:
                raise Unreachable(f"{self._what}: {reason} ({self._failures} attempts)", fix=_MEND)
            step = min(self._patience.first_wait * 2 ** (self._failures - 1), self._patience.longest_wait)
            told = random.uniform(step / 2, step)  # noqa: S311 - spreads clients, hides nothing
        if self._clock.now() + told > self._end:
            said = f"{self._what}: {reason}, and the deadline comes before the next attempt"
            raise Unreachable(said, fix=_MEND)
        self._clock.sleep(told)

    def progressed(self) -> None:
        """Something arrived: failures from here on are counted anew."""
        self._failures = 0


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds that a `Retry-After` header asks for (RFC 9110, 10.2.3), None if it says nothing."""
    if not header:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        when = parsedate_to_datetime(header)
    except ValueError:
        return None
    moment = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds())
