"""The path to full continuous delivery: what is looked for in a repository, and what was found.

A signal sees a repository as files, and what they mean, read when first asked for.

Stages: 1 manual; 2 assisted by tools; 3 limited continuous delivery; 4 continuous delivery with assisted
self-operation; 5 full-link continuous delivery and self-operation. Each dimension is on a stage of its own:
the highest one that nothing on it or below it speaks against.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from pipegraft.appspec.model import App, AppEnvironment
from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import Place, PluginError

__all__ = [
    "STAGES",
    "Answer",
    "Ci",
    "DeliveryPace",
    "Dimension",
    "Evidence",
    "Finding",
    "Iac",
    "Job",
    "Repository",
    "Signal",
    "Tree",
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
        look: pure: a view of the repository (`pipegraft.maturity.hooks.Repository`) → what was found.
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


class Tree(Protocol):
    """Files and their texts."""

    @property
    def files(self) -> Sequence[str]:
        """Path of every file, sorted."""

    def read(self, path: str) -> str | None:
        """A file's text; None if there is none or it is no text."""

    def find(self, *patterns: str) -> Sequence[str]:
        """Files whose path or name matches any of the shell patterns."""

    def search(self, pattern: str, *patterns: str, limit: int = 3) -> Sequence[Evidence]:
        """Lines of those files that a regular expression matches."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Ci:
    """The CI configuration.

    Arguments:
        system: ``gitlab`` or ``jenkins``.
        file: its path.
        jobs: what runs, the hidden ones left out.
        settings: what is set for all.
        problem: why it cannot be read; empty if it can.
        opaque: what it includes from elsewhere and cannot be seen here.
    """

    system: str
    file: str
    jobs: tuple[Job, ...] = ()
    settings: Mapping[str, Any] | None = None
    problem: str = ""
    opaque: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeliveryPace:
    """What the history of the last environment says of its last ninety days.

    Arguments:
        deployments: how many.
        weeks: in how many weeks.
        lead: median lead time in seconds, None without data.
        failures: share that was taken back, None without data.
        rollbacks: commits that took back a gray release, ever.
        by_pipeline: whether the newest deployment names its source commit.
        weights: commits that moved requests to a new version, ever.
    """

    deployments: int
    weeks: float
    lead: float | None
    failures: float | None
    rollbacks: int
    by_pipeline: bool
    weights: int = 0


@dataclass(frozen=True, slots=True)
class Iac:
    """The IaC repository at its tip.

    Arguments:
        tree: its files.
        folder: the app's folder in it, with a slash behind it; empty for the root.
        app: the app spec, None if there is none.
        environments: name → what it declares; those that cannot be read are left out.
        problems: what is wrong with its files, one sentence each.
        pace: what its history says, None if it cannot be seen.
    """

    tree: Tree
    folder: str
    app: App | None
    environments: Mapping[str, AppEnvironment]
    problems: tuple[str, ...]
    pace: DeliveryPace | None


class Repository(Tree, Protocol):
    """A source repository."""

    @property
    def name(self) -> str:
        """What to call it."""

    @property
    def ci(self) -> Ci | None:
        """Its CI configuration, None if it has none."""

    @property
    def delivery(self) -> Delivery | None:
        """What ``delivery.yaml`` declares; None if there is none, or it is wrong."""

    @property
    def delivery_problem(self) -> str:
        """What is wrong with ``delivery.yaml``; empty if nothing is, or there is none."""

    @property
    def iac(self) -> Iac | None:
        """The IaC repository, None if it is not declared or cannot be read from here."""
