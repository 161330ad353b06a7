"""What the board shows: applications, their environments, and what happened there, as their history tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from pipegraft.appspec.environment_file import read_environment
from pipegraft.audit.dora import WEEK, deployments_of
from pipegraft.audit.release_commits import Book
from pipegraft.audit.release_scan import Held
from pipegraft.core.errors import PipegraftError
from pipegraft.iac.commits import GATE

__all__ = [
    "Application",
    "Board",
    "Cell",
    "Happening",
    "Lead",
    "Links",
    "Trial",
    "Week",
    "cell_of",
    "in_order",
    "leads_of",
]


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


_SHOWN = 40
"""Commits of an environment that the board shows."""
_WEEKS = 12
_MONDAY = 4 * 86400.0
"""The epoch was a Thursday: its first Monday."""
_ORDER = ("dev", "develop", "development", "test", "testing", "qa", "integration", "uat", "stag", "preprod")
"""How environments before production are called, in the order in which releases reach them."""
_BEGIN = ("bump", "prepare")


def in_order(environments: Iterable[str]) -> list[str]:
    """Environments in the order in which releases usually reach them: what has no usual name before
    production, production last."""

    def place(name: str) -> tuple[int, str]:
        lower = name.lower()
        if lower.startswith(("prod", "live")):
            return len(_ORDER) + 1, name
        found = (at for at, start in enumerate(_ORDER) if lower.startswith(start))
        return next(found, len(_ORDER)), name

    return sorted(environments, key=place)


def cell_of(book: Book, now: float) -> Cell:
    """One environment: what its file says now, and how it came there."""
    last = len(book.versions) - 1
    held = book.held(last) if last >= 0 else None
    happened = tuple(_happening(book, index) for index in range(last, max(-1, last - _SHOWN), -1))
    if held is None:
        gone = last < 0 or book.versions[last].contents[book.path] is None
        problem = "" if gone else f"{book.path} is not an environment file that this version understands"
        return Cell(book.environment, "empty" if gone else "unreadable", happened=happened, problem=problem)
    # Until the first release zeros stand where a digest will.
    pinned = {name: image for name, image in held.images.items() if not image.endswith("0" * 64)}
    held = replace(held, images=pinned)
    since, by = _began(book, held)
    phase = _phase(book.text(last), book.path) if held.gray_release else ""
    mark = held.release
    return Cell(
        book.environment,
        _state(held, phase, happened),
        mark.number if mark else None,
        mark.source if mark else "",
        dict(held.images),
        since,
        by,
        _trial(book, held, phase, happened),
        happened,
        _weeks(book, now),
    )


def leads_of(books: Sequence[Book], cells: Sequence[Cell]) -> Iterable[Lead]:
    """How far each environment is ahead of the next one."""
    for book, ahead, behind in zip(books, cells, cells[1:], strict=False):
        if ahead.state in ("empty", "unreadable") or behind.state in ("empty", "unreadable"):
            continue
        components = sorted({*ahead.images, *behind.images})
        differing = tuple(name for name in components if ahead.images.get(name) != behind.images.get(name))
        numbers, settings = _since_release(book, behind.release)
        yield Lead(ahead.environment, behind.environment, numbers, differing, settings)


def _happening(book: Book, index: int) -> Happening:
    version = book.versions[index]
    trailers, commit = version.trailers, version.commit
    paragraphs = commit.message.strip().split("\n\n")
    why = paragraphs[1].partition("\n")[0] if len(paragraphs) > (2 if trailers else 1) else ""
    return Happening(
        commit.id,
        commit.time,
        commit.author.partition(" <")[0],
        trailers.get("Pipegraft-Step", ""),
        book.release_of(index),
        trailers.get("Pipegraft-Source-Commit", ""),
        why or ("" if trailers else paragraphs[0].partition("\n")[0]),
        trailers.get(GATE, "").partition(" ")[0],
        _web(trailers.get("Pipegraft-Pipeline", "")),
    )


def _web(address: str) -> str:
    """An address that a page may link to; what else stands in a trailer is no link."""
    return address if address.startswith(("https://", "http://")) else ""


def _phase(text: str, path: str) -> str:
    block = read_environment(text, path).gray
    return block.phase if block else ""


def _state(held: Held, phase: str, happened: Sequence[Happening]) -> State:
    if held.gray_release is not None:
        return "paused" if phase == "paused" else "held" if phase == "held" else "gray"
    if next((one.step for one in happened if one.step), "") == "rollback":
        return "taken back"
    return "serves" if held.images or held.release else "empty"


def _trial(book: Book, held: Held, phase: str, happened: Sequence[Happening]) -> Trial | None:
    mark = held.gray_release
    if mark is None:
        return None
    index = len(book.versions) - 1
    while index > 0 and book.digests(index - 1).weight == held.weight and book.digests(index - 1).gray:
        index -= 1
    return Trial(
        mark.number,
        mark.source,
        held.weight,
        phase,
        {**held.gray},
        book.versions[index].commit.time,
        happened[0].why if happened else "",
    )


def _began(book: Book, held: Held) -> tuple[float | None, str]:
    """When what serves began to, and who brought it."""
    index = len(book.versions) - 1
    if index < 0:
        return None, ""
    now = book.digests(index)
    while index > 0:
        before = book.digests(index - 1)
        if (before.stable, before.number) != (now.stable, now.number):
            break
        index -= 1
    commit = book.versions[index].commit
    return (commit.time, commit.author.partition(" <")[0]) if held.images else (None, "")


def _since_release(book: Book, number: int | None) -> tuple[int | None, int]:
    """Releases since a number, and commits among them that changed more than images."""
    if number is None:
        return None, 0
    newer: set[int] = set()
    settings = 0
    for index in range(len(book.versions) - 1, -1, -1):
        now = book.digests(index)
        if now.number == number:
            return len(newer), settings
        if now.number is not None:
            newer.add(now.number)
        before = book.digests(index - 1)
        settings += now.rest != before.rest and now.stable == before.stable
    return None, settings


def _weeks(book: Book, now: float) -> tuple[Week, ...]:
    this = now - (now - _MONDAY) % WEEK
    starts = [this - WEEK * back for back in range(_WEEKS - 1, -1, -1)]
    try:
        deployments, _ = deployments_of(book)
    except PipegraftError:
        return ()
    counts: Mapping[float, list[int]] = {start: [0, 0] for start in starts}
    for one in deployments:
        start = one.started - (one.started - _MONDAY) % WEEK
        if start in counts:
            counts[start][one.undone is not None] += 1
    return tuple(Week(start, *counts[start]) for start in starts)
