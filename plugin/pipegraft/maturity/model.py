"""The path to full continuous delivery: what is looked for in a repository, and what was found.

Stages: 1 manual; 2 assisted by tools; 3 limited continuous delivery; 4 continuous delivery with assisted
self-operation; 5 full-link continuous delivery and self-operation. Each dimension is on a stage of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pipegraft.core.errors import Place, PluginError

__all__ = [
    "STAGES",
    "Answer",
    "Dimension",
    "Evidence",
    "Finding",
    "Job",
    "Signal",
    "absent",
    "no",
    "unseen",
    "yes",
]

STAGES: Mapping[int, str] = {
    1: "manual",
    2: "assisted by tools",
    3: "limited continuous delivery",
    4: "continuous delivery",
    5: "self-operation",
}
"""Stage → its name."""


class Dimension(StrEnum):
    """What is assessed, each by itself."""

    PIPELINE = "pipeline"
    IMAGES = "images"
    COMPONENTS = "components"
    DELIVERY = "delivery"
    RELEASE = "release"
    RUNTIME = "runtime"
    SECURITY = "security"


class Answer(StrEnum):
    """What came of looking for one signal."""

    YES = "yes"
    NO = "no"
    ABSENT = "does not apply"
    UNSEEN = "cannot be seen from here"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What proves a finding: a place, and what stands there."""

    place: Place
    text: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found.

    Arguments:
        answer: yes, no, or why neither.
        reason: one clause.
        evidence: the places it rests on; the first few are enough.
        step: what to do, where that is another than the signal's step.
    """

    answer: Answer
    reason: str
    evidence: tuple[Evidence, ...] = field(default=())
    step: str = ""


def yes(reason: str, *evidence: Evidence) -> Finding:
    """The signal is there."""
    return Finding(Answer.YES, reason, evidence)


def no(reason: str, *evidence: Evidence) -> Finding:
    """The signal is not there, though it could be."""
    return Finding(Answer.NO, reason, evidence)


def absent(reason: str) -> Finding:
    """There is nothing the signal could be about."""
    return Finding(Answer.ABSENT, reason)


def unseen(reason: str) -> Finding:
    """What would tell is not here."""
    return Finding(Answer.UNSEEN, reason)


@dataclass(frozen=True, slots=True)
class Job:
    """One job of a pipeline, whichever CI system runs it.

    Arguments:
        name: its name.
        place: where it is written.
        commands: what it runs, one line each.
        image: the image it runs in; empty if the runner decides.
        environment: the environment it deploys to; empty for none.
        manual: whether a person starts or confirms it.
        limited: whether it has a time limit; None if that cannot be seen.
        branches: whether it runs when a branch is pushed; None if that cannot be seen.
        merge_requests: whether it runs for merge requests; None if that cannot be seen.
        may_fail: whether the pipeline goes on when it fails.
        keys: everything else that is written about it, as plain values.
    """

    name: str
    place: Place
    commands: tuple[str, ...] = ()
    image: str = ""
    environment: str = ""
    manual: bool = False
    limited: bool | None = None
    branches: bool | None = None
    merge_requests: bool | None = None
    may_fail: bool = False
    keys: Mapping[str, Any] = field(default_factory=dict)


_NAME = re.compile(r"[a-z][a-z0-9-]{1,60}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing that a machine can check.

    Arguments:
        name: kebab-case, unique over all plugins.
        dimension: what it is about.
        stage: 2 to 5: the stage that needs it.
        claim: what is true where it is there, one clause.
        look: pure: a view of the repository (`pipegraft.maturity.ports.Repository`) → what was found.
        step: what to do where it is not there: a command, or one sentence.
        mend: pure: a view → path and new text of the files that bring it about; None where people decide.
        command: words after ``pipegraft`` of the command that brings it about, ``{ci}`` standing for the CI
            configuration's path; none where there is none.
    """

    name: str
    dimension: Dimension
    stage: int
    claim: str
    look: Callable[[Any], Finding]
    step: str
    mend: Callable[[Any], Mapping[str, str]] | None = None
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise PluginError(f"expected a kebab-case name of a signal, found {self.name!r}")
        if self.stage not in STAGES or self.stage == 1:
            raise PluginError(f"signal '{self.name}': expected a stage from 2 to 5, found {self.stage}")
        if not (self.claim and self.step):
            raise PluginError(
                f"signal '{self.name}' does not say what it claims or what to do",
                fix="give it a claim and a next step",
            )
        if self.dimension not in tuple(Dimension):
            known = ", ".join(Dimension)
            raise PluginError(
                f"signal '{self.name}': expected a dimension of {known}, found {self.dimension!r}"
            )
