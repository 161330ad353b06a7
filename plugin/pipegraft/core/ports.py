"""What stages see of the machine and of their watchers: time that can be tested, and progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from pipegraft.core.foreign_text import redacted, redacted_data

__all__ = ["Clock", "Event", "FakeClock", "Progress", "RecordingProgress"]


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


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened.

    Arguments:
        kind: what sort of thing, as a stable lower-case word: ``started``, ``progress``, ``commit``,
            ``verdict``, ``judgement``, ``warning``, ``finished``.
        message: one line for people.
        subject: what it is about: a component, a resource, a commit; events of one subject replace
            one another in a live view.
        data: the same for machines; plain JSON values. A ``table`` of it, columns and rows of text, stands
            below the subjects in a live view.
    """

    kind: str
    message: str
    subject: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", redacted(self.message))
        object.__setattr__(self, "data", redacted_data(self.data))


class Progress(Protocol):
    """Takes events; must be callable from any thread."""

    def emit(self, event: Event) -> None:
        """Show or record one event."""


class RecordingProgress:
    """Keeps every event, for tests and for `--json`."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)
