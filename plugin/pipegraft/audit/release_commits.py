"""The commits that belong to one release of one environment, found in the history of its file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipegraft.audit.release_scan import Digests, Held, digests_in, read_held
from pipegraft.iac.archive import Version

__all__ = ["BEGINNINGS", "Book", "Moment", "Story", "Wanted", "show_time"]

BEGINNINGS = ("prepare", "bump")
"""Steps that bring a release into an environment."""
_AROUND = 200
"""Versions on both sides that are read together with one that is asked for."""
_SHORTEST = 7
"""Digits of a commit or digest that are enough to name it."""


def show_time(seconds: float) -> str:
    """A moment for people, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True, slots=True)
class Moment:
    """One commit that changed the environment's file.

    Arguments:
        version: the commit.
        held: the file from then on, None if it was gone or is not readable.
    """

    version: Version
    held: Held | None

    @property
    def id(self) -> str:
        """The commit's name."""
        return self.version.commit.id

    @property
    def time(self) -> float:
        """When it was made, seconds since the epoch."""
        return self.version.commit.time

    @property
    def step(self) -> str:
        """What it did, as its trailer says; empty without one."""
        return self.version.trailers.get("Pipegraft-Step", "")

    def __str__(self) -> str:
        """Short name, time and, if the commit has a body, why."""
        parts = self.version.commit.message.strip().split("\n\n")
        why = parts[1].partition("\n")[0] if len(parts) > 2 else ""
        return f"{self.id[:12]}, {show_time(self.time)}{f': {why}' if why else ''}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which release is meant; the newest one if nothing is given.

    Arguments:
        release: its number.
        digest: of one of its images, or at least seven of its hex digits.
        commit: of the source or the IaC repository, at least seven digits.
    """

    release: int | None = None
    digest: str = ""
    commit: str = ""

    def __str__(self) -> str:
        if self.release is not None:
            return f"release {self.release}"
        return (
            f"digest {self.digest}"
            if self.digest
            else f"commit {self.commit}"
            if self.commit
            else "a release"
        )


@dataclass(frozen=True, slots=True)
class Story:
    """One release in one environment.

    Arguments:
        environment: its name.
        path: the file that tells of it.
        release: the release's number, None if nobody said.
        source: commit of the source repository, empty if nobody said.
        moments: its commits, oldest first; the first brought it in.
        before: the file before.
        strangers: commits that changed digests in its time and say nothing of a release.
        successor: the first later commit that brought other images or another release, None if there is none.
        now: the file at the tip.
        earlier: digest → source commits of the releases that had it before.
    """

    environment: str
    path: str
    release: int | None
    source: str
    moments: tuple[Moment, ...]
    before: Held
    strangers: tuple[Moment, ...] = ()
    successor: Moment | None = None
    now: Held = field(default_factory=Held)
    earlier: Mapping[str, frozenset[str]] = field(default_factory=dict)


class Book:
    """The history of one environment's file.

    Arguments:
        environment: its name.
        path: the file.
        versions: its commits, newest first.
        texts: reads contents: object names → object name and text.
    """

    def __init__(
        self,
        environment: str,
        path: str,
        versions: Sequence[Version],
        texts: Callable[[Iterable[str]], Iterable[tuple[str, str]]],
    ) -> None:
        self.environment = environment
        self.path = path
        self.versions = [one for one in reversed(versions) if path in one.contents]
        self._read = texts
        self._texts: dict[str | None, str] = {None: ""}
        self._scanned: dict[str | None, Digests] = {None: digests_in("")}
        self._held: dict[str | None, Held | None] = {None: Held()}

    def load(self) -> None:
        """Read every version at once, for those who need them all."""
        self._load(0, len(self.versions))

    def text(self, index: int) -> str:
        """The file after a commit; empty where it is gone, and before the first."""
        name = self._name(index)
        if name not in self._texts:
            self._load(max(0, index - _AROUND), index + _AROUND)
        return self._texts.get(name, "")

    def digests(self, index: int) -> Digests:
        """What the file names after a commit; nothing before the first."""
        name = self._name(index)
        if name not in self._scanned:
            self._scanned[name] = digests_in(self.text(index))
        return self._scanned[name]

    def held(self, index: int) -> Held | None:
        """The file after a commit, read whole."""
        name = self._name(index)
        if name not in self._held:
            self._held[name] = read_held(self.text(index), self.path)
        return self._held[name]

    def release_of(self, index: int) -> int | None:
        """The release that a commit belongs to, by its trailers."""
        trailers = self.versions[index].trailers
        number = trailers.get("Pipegraft-Release", "")
        return int(number) if number.isdecimal() and self._is_ours(trailers) else None

    def find(self, wanted: Wanted) -> Story | None:
        """The newest release that is meant, None if the history does not know it."""
        index = self._find(wanted)
        if index is None:
            return None
        number = self.release_of(index)
        if number is None:
            return self._unmarked(index)
        return self._marked(index, number)

    def _name(self, index: int) -> str | None:
        return self.versions[index].contents[self.path] if index >= 0 else None

    def _load(self, start: int, end: int) -> None:
        names = [one.contents[self.path] for one in self.versions[start:end]]
        self._texts |= self._read(name for name in names if name and name not in self._texts)

    def _is_ours(self, trailers: Mapping[str, str]) -> bool:
        return trailers.get("Pipegraft-Environment") == self.environment

    def _find(self, wanted: Wanted) -> int | None:
        """The newest commit of the release."""
        if wanted.digest:
            self.load()
        for index in range(len(self.versions) - 1, -1, -1):
            if self._matches(index, wanted):
                return index
        return None

    def _matches(self, index: int, wanted: Wanted) -> bool:
        version, number = self.versions[index], self.release_of(index)
        if wanted.digest:
            start = f"sha256:{wanted.digest.removeprefix('sha256:')}"
            if len(start) < len("sha256:") + _SHORTEST or start not in self.text(index):
                return False
            return any(one.startswith(start) for one in self._brought(index))
        if wanted.commit:
            sources = {version.trailers.get("Pipegraft-Source-Commit", ""), version.commit.id}
            return len(wanted.commit) >= _SHORTEST and any(
                one.startswith(wanted.commit.lower()) for one in sources
            )
        if wanted.release is None:
            return number is not None
        if number is not None or self._is_ours(version.trailers):
            return number == wanted.release
        after, before = self.held(index), self.held(index - 1)
        named = {mark.number for mark in after.marks} if after else set()
        return wanted.release in named - ({mark.number for mark in before.marks} if before else set())

    def _brought(self, index: int) -> frozenset[str]:
        """Digests that a commit brought into the file, be it as gray or for all."""
        after, before = self.digests(index), self.digests(index - 1)
        return (after.stable | after.gray) - (before.stable | before.gray)

    def _marked(self, last: int, number: int) -> Story:
        """The release whose newest commit (or one of whose commits) is known."""
        while (later := self._next_of(last, number)) is not None:
            last = later
        mine = [last]
        for index in range(last - 1, -1, -1):
            if self.versions[mine[-1]].trailers.get("Pipegraft-Step") in BEGINNINGS:
                break
            if self.release_of(index) == number:
                mine.append(index)
        return self._story(sorted(mine), number)

    def _next_of(self, after: int, number: int) -> int | None:
        """The release's next commit, unless it begins anew with that."""
        for index in range(after + 1, len(self.versions)):
            if self.release_of(index) == number:
                begins = self.versions[index].trailers.get("Pipegraft-Step") in BEGINNINGS
                return None if begins else index
        return None

    def _unmarked(self, index: int) -> Story:
        """What somebody brought in without trailers."""
        held = self.held(index)
        marks = held.marks if held else ()
        return self._story([index], marks[0].number if marks else None)

    def _story(self, mine: Sequence[int], number: int | None) -> Story:
        first, last = mine[0], mine[-1]
        moments = tuple(self._moment(index) for index in mine)
        successor = next(
            (index for index in range(last + 1, len(self.versions)) if self._changes(index)), None
        )
        inside = [index for index in range(first + 1, last) if index not in mine]
        strangers = [index for index in inside if self._changes(index) and self.release_of(index) is None]
        trailers = self.versions[first].trailers
        marks = (moments[0].held or Held()).marks
        source = trailers.get("Pipegraft-Source-Commit") or (marks[0].source if marks else "")
        return Story(
            self.environment,
            self.path,
            number,
            source,
            moments,
            self.held(first - 1) or Held(),
            tuple(self._moment(index) for index in strangers),
            None if successor is None else self._moment(successor),
            self.held(len(self.versions) - 1) or Held(),
            self._earlier(first),
        )

    def _changes(self, index: int) -> bool:
        """Whether other images or another release serve or are being released."""
        after, before = self.digests(index), self.digests(index - 1)
        return _kind(after) != _kind(before)

    def _moment(self, index: int) -> Moment:
        return Moment(self.versions[index], self.held(index))

    def _earlier(self, first: int) -> Mapping[str, frozenset[str]]:
        """Of each digest that was there before: where the release that brought it came from."""
        after = self.digests(first)
        found: dict[str, frozenset[str]] = {}
        for digest in after.stable | after.gray:
            index = first - 1
            while index >= 0 and digest in self.text(index):
                index -= 1
            brought = self.versions[index + 1]
            if index + 1 < first and self.release_of(index + 1) is not None:
                found[digest] = frozenset({brought.trailers.get("Pipegraft-Source-Commit", "")})
        return found


def _kind(digests: Digests) -> tuple[object, ...]:
    return (digests.stable, digests.gray, digests.number, digests.gray_number)
