"""A repository as the signals of maturity see it: files, and what they mean, read when first asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipegraft.appspec.model import App, AppEnvironment
from pipegraft.core.delivery import Delivery
from pipegraft.maturity.model import Evidence, Job

__all__ = ["Ci", "DeliveryPace", "Iac", "Repository", "Tree"]


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
