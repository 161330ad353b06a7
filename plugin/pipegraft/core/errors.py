"""Every error a user can meet, and the exit code each one ends in.

::

    PipegraftError                      exit 70  never raised itself
    ├── DeliveryRefused                 exit 1   the delivery said no
    │   ├── BuildFailed                            a component did not build
    │   ├── SyncFailed                             the engine failed, or did not get there in time
    │   ├── RolledBack                             the gray release was taken back
    │   ├── Held                                   the gray release waits for a person
    │   ├── Conflict                               somebody changed the same value meanwhile
    │   └── Vetoed                                 a plugin or a policy stopped the stage
    ├── UsageError                      exit 2   wrong usage or configuration; nothing was written
    │   ├── ConfigError                            one or more Problems in a file the user wrote
    │   ├── EditRefused                            an edit that could not be made exactly
    │   └── PluginError                            a plugin is missing, broken or a duplicate
    └── OutsideError                    exit 3   an outside system failed after retries; safe to retry
        ├── Unreachable                            no answer, or no answer in time
        ├── AccessDenied                           credentials missing or refused
        ├── Damaged                                what is stored is not what its digest says
        ├── Locked                                 somebody else holds what must be held alone
        └── TipMoved                               compare-and-swap lost more often than the deadline allows

Anything else that escapes is a defect in Pipegraft: exit 70.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from pipegraft.core.foreign_text import redacted

__all__ = [
    "AccessDenied",
    "BuildFailed",
    "ConfigError",
    "Conflict",
    "Damaged",
    "DeliveryRefused",
    "EditRefused",
    "Held",
    "Locked",
    "OutsideError",
    "PipegraftError",
    "Place",
    "PluginError",
    "Problem",
    "RolledBack",
    "SyncFailed",
    "TipMoved",
    "Unreachable",
    "UsageError",
    "Vetoed",
]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a file: ``file:line:column``, line and column counted from 1; 0 means unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong at one place.

    Arguments:
        message: what was expected and what was found, in one sentence without a final stop.
        place: where, if it is known.
        fix: what to do, as an imperative clause, if there is one thing to do.
    """

    message: str
    place: Place | None = None
    fix: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", redacted(self.message))  # a server may repeat what it was shown
        object.__setattr__(self, "fix", redacted(self.fix))

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        fix = f"\n    fix: {self.fix}" if self.fix else ""
        return f"{where}{self.message}{fix}"


class PipegraftError(Exception):
    """Root of the tree.

    Arguments:
        message: what was expected, what was found.
        place: where.
        fix: what to do.
    """

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, place: Place | None = None, fix: str = "") -> None:
        self.problem = Problem(message, place, fix)
        super().__init__(self.problem.message)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong, one entry a thing; more than one only for `ConfigError` and `EditRefused`."""
        return (self.problem,)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class DeliveryRefused(PipegraftError):
    """The delivery itself said no; running again without a change will say no again."""

    exit_code = 1


class BuildFailed(DeliveryRefused):
    """A component image could not be built."""


class SyncFailed(DeliveryRefused):
    """The GitOps engine reported failure for our revision, or did not reach it before the deadline."""


class RolledBack(DeliveryRefused):
    """The gray release was judged bad and taken back."""


class Held(DeliveryRefused):
    """The gray release stands where it is until a person decides."""


class Conflict(DeliveryRefused):
    """Somebody changed the very value this delivery was about to change; nothing was written."""


class Vetoed(DeliveryRefused):
    """A plugin or a policy stopped a stage and said why."""


class UsageError(PipegraftError):
    """Wrong usage or configuration. Nothing was written."""

    exit_code = 2


class ConfigError(UsageError):
    """Everything wrong with a file the user wrote, at once.

    Arguments:
        problems: at least one problem, in the order of their places.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self._problems = tuple(problems)
        first = self._problems[0]
        super().__init__(first.message, place=first.place, fix=first.fix)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self._problems


class EditRefused(UsageError):
    """An edit that could not be made exactly was not made.

    Arguments:
        further: what else is in its way.
    """

    def __init__(
        self, message: str, *, place: Place | None = None, fix: str = "", further: Iterable[Problem] = ()
    ) -> None:
        super().__init__(message, place=place, fix=fix)
        self._further = tuple(further)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return (self.problem, *self._further)


class PluginError(UsageError):
    """A plugin is missing, broken, or claims a name that another one holds."""


class OutsideError(PipegraftError):
    """An outside system failed or timed out after retries; the command is safe to run again."""

    exit_code = 3


class Unreachable(OutsideError):
    """A server or a repository gave no answer, or none in time."""


class AccessDenied(OutsideError):
    """Credentials are missing, expired or not allowed to do this."""


class Damaged(OutsideError):
    """What a registry holds, or sent, is not what its digest says."""


class Locked(OutsideError):
    """Another process holds what only one may hold."""


class TipMoved(OutsideError):
    """The branch kept moving: compare-and-swap did not win before the deadline."""
