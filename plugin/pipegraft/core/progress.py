"""What a stage tells whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from pipegraft.core.foreign_text import redacted, redacted_data

__all__ = ["Event", "Progress", "RecordingProgress"]


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
