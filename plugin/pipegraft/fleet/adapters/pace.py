"""No more requests than a server's rate limit lets through, told by what it answers to each.

Source: GitLab, "Rate limits on user and IP", response headers: ``RateLimit-Remaining`` requests until
``RateLimit-Reset``, a Unix time by the server's clock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from pipegraft.core.ports import Clock

__all__ = ["Pace"]

_RESERVE = 40
"""Requests that are spread over what is left of a period; more than are ever under way at once here."""
_WORTH_SAYING = 5.0
"""Seconds of waiting that people are told of."""
_SILENCE = 30.0
"""Seconds between two such words."""


class Pace:
    """Shared by all threads that ask one server.

    Arguments:
        told: hears, now and then, for how many seconds requests are held back.
    """

    def __init__(self, clock: Clock, told: Callable[[float], None] = lambda _seconds: None) -> None:
        self._clock = clock
        self._told = told
        self._lock = threading.Lock()
        self._left: int | None = None
        self._end = 0.0
        self._slot = 0.0
        self._silent_until = 0.0

    def wait(self) -> None:
        """Before a request: wait for its turn."""
        with self._lock:
            now = self._clock.now()
            pause = self._turn(now) - now
            telling = pause >= _WORTH_SAYING and now >= self._silent_until
            if telling:
                self._silent_until = now + _SILENCE
        if telling:
            self._told(pause)
        self._clock.sleep(pause)

    def _turn(self, now: float) -> float:
        """When the next request may go out; the last ones of a period go at equal distances."""
        if self._left is None or now >= self._end:
            self._left = None  # a new period: its first answer tells
            return now
        if self._left <= _RESERVE:
            begin = max(now, self._slot)
            self._slot = begin + max(0.0, self._end - begin) / (max(self._left, 0) + 1)
            now = self._slot
        self._left -= 1
        return now

    def learn(self, headers: Mapping[str, str]) -> None:
        """After a request: what the answer says of the limit, if anything."""
        try:
            left = int(headers["RateLimit-Remaining"])
            reset = float(headers["RateLimit-Reset"])
            date = parsedate_to_datetime(headers["Date"]).timestamp()
        except (KeyError, ValueError):
            return
        with self._lock:
            end = self._clock.now() + max(0.0, reset - date)  # clocks may differ
            same = self._left is not None and abs(end - self._end) < _WORTH_SAYING
            # Those under way are counted here already, and not yet in what an earlier answer says.
            self._left = min(left, self._left) if same and self._left is not None else left
            self._end = end
