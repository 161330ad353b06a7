"""What the board shows: applications, their environments, and what happened there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["Application", "Board", "Cell", "Happening", "Lead", "Links", "Trial", "Week"]

State = Literal["serves", "gray", "paused", "held", "taken back", "empty", "unreadable"]


@dataclass(frozen=True, slots=True)
class Happening:
    """One commit that changed an environment.

    Arguments:
        commit: its name in the IaC repository.
        time: seconds since the epoch.
        author: who made it, without the address.
        step: ``bump``, ``prepare``, ``2/3 weight=50``, ``promote``, ``rollback``, …; empty for what somebody
            wrote by hand.
        release: the release it belongs to, None if nobody said.
        source: commit of the source repository, empty if nobody said.
        why: first line of the commit's body.
        gate: what the gate said before it: ``succeeded``, ``failed``, …; empty if the commit does not tell.
        pipeline: address of the pipeline that made it, empty if nobody said.
    """

    commit: str
    time: float
    author: str
    step: str = ""
    release: int | None = None
    source: str = ""
    why: str = ""
    gate: str = ""
    pipeline: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """A gray release (canary) under way.

    Arguments:
        release: its number.
        source: commit of the source repository.
        weight: percent of the requests it gets.
        phase: ``step``, ``paused``, ``held``, …
        images: component → image of the new version.
        since: when it came to this weight, seconds since the epoch.
        said: what the newest commit says of it.
    """

    release: int
    source: str
    weight: int
    phase: str
    images: Mapping[str, str]
    since: float
    said: str = ""


@dataclass(frozen=True, slots=True)
class Week:
    """What one week brought.

    Arguments:
        start: its Monday, seconds since the epoch.
        deployed: deployments that stayed.
        undone: deployments that were taken back.
    """

    start: float
    deployed: int
    undone: int


@dataclass(frozen=True, slots=True)
class Cell:
    """One environment of one application.

    Arguments:
        environment: its name.
        state: what can be said of it in a word.
        release: number of the release that serves, None if the file does not say.
        source: commit of the source repository it was built from.
        images: component → image that serves.
        since: when that began, seconds since the epoch; None if the history does not tell.
        by: who brought it.
        trial: the gray release under way, None without one.
        happened: newest first.
        weeks: deployments by week, oldest first.
        problem: why it cannot be read, empty if it can.
    """

    environment: str
    state: State
    release: int | None = None
    source: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    since: float | None = None
    by: str = ""
    trial: Trial | None = None
    happened: tuple[Happening, ...] = ()
    weeks: tuple[Week, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Lead:
    """How far one environment is ahead of the next.

    Arguments:
        ahead: the environment that is ahead.
        behind: the environment that follows it.
        releases: releases that `ahead` saw since the one that `behind` runs; None if `ahead` never ran that.
        images: components whose images differ.
        settings: commits among these releases that changed something other than images.
    """

    ahead: str
    behind: str
    releases: int | None
    images: tuple[str, ...]
    settings: int


@dataclass(frozen=True, slots=True)
class Links:
    """Where the forge shows things; ``{}`` stands for a commit's name; empty where nobody knows.

    Arguments:
        repository: page of the IaC repository.
        commit: page of one of its commits.
        proposals: page of its merge requests.
    """

    repository: str = ""
    commit: str = ""
    proposals: str = ""


@dataclass(frozen=True, slots=True)
class Application:
    """One application.

    Arguments:
        name: as ``app.yaml`` or the commits have it.
        repository: its IaC repository, without credentials.
        folder: its folder there, empty for the root.
        cells: its environments, in the order in which releases reach them.
        leads: between each environment and the next.
        links: pages of the forge.
        problem: why it cannot be read, empty if it can.
    """

    name: str
    repository: str
    folder: str = ""
    cells: tuple[Cell, ...] = ()
    leads: tuple[Lead, ...] = ()
    links: Links = Links()
    problem: str = ""

    @property
    def id(self) -> str:
        """Its name on the board: one for each application in each repository."""
        return f"{self.repository}#{self.folder}" if self.folder else self.repository


@dataclass(frozen=True, slots=True)
class Board:
    """Everything at one moment.

    Arguments:
        title: of the page.
        made: when it was read, seconds since the epoch.
        applications: by name.
    """

    title: str
    made: float
    applications: tuple[Application, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)
