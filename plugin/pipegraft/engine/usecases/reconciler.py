"""What brings about what is declared: instances of this machine, or objects of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipegraft.engine.usecases.application import Application, Reader

__all__ = ["Operator", "Turn"]


@dataclass(frozen=True, slots=True)
class Turn:
    """An application after one step, and what can be said of it."""

    application: Application
    status: dict[str, Any]


class Operator(Reader, Protocol):
    """Called again and again; each turn is right for what is seen then, so it may be cut off anywhere."""

    def turn(self, applications: Sequence[Application]) -> Sequence[Turn]:
        """Bring every application one step further; answers them in the same order."""

    def end(self) -> None:
        """End everything that runs, and wait until nothing is left."""
