"""Time, so that waiting can be tested without waiting."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Clock", "FakeClock"]


class Clock(Protocol):
    """Where stages get the time from."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Wait; a negative or zero time returns at once."""


class FakeClock:
    """A clock that jumps instead of waiting.

    Arguments:
        start: seconds since the epoch at which it starts.
    """

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start
        self.slept: list[float] = []

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._now += max(0.0, seconds)
