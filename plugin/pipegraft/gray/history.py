"""What the commits of a gray release tell of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipegraft.gray.machine import Do, Move
from pipegraft.gray.model.observation import Observation
from pipegraft.gray.record import OBSERVED, from_trailer
from pipegraft.iac.ports.repository import Commit

__all__ = ["Chapter", "Span", "ToldRelease", "step_name", "told_releases", "weight_of"]

_WEIGHT = re.compile(r"weight=(\d+)$")


@dataclass(frozen=True, slots=True)
class Span:
    """Time at one weight, from commit to commit.

    Arguments:
        start: seconds since the epoch.
        end: seconds since the epoch.
        weight: percent of the requests.
    """

    start: float
    end: float
    weight: int


@dataclass(frozen=True, slots=True)
class Chapter:
    """What the history tells of a release.

    Arguments:
        newest: newest commit that changed the file, whoever made it; None if there is none.
        commits: those of the release, newest first, back to the one that prepared it.
        before: the file before its gray block came, None if nobody knows.
        promoted: the file as it was when it was promoted, None if it was not.
    """

    newest: Commit | None
    commits: tuple[Commit, ...]
    before: str | None
    promoted: str | None

    @property
    def last_step(self) -> str:
        """What the release's newest commit did; empty if it has none."""
        return self.commits[0].trailers.get("Pipegraft-Step", "") if self.commits else ""

    @property
    def reason(self) -> str:
        """Why the release's newest commit was made: the first line of its body."""
        paragraphs = self.commits[0].message.split("\n\n") if self.commits else []
        return paragraphs[1].partition("\n")[0] if len(paragraphs) > 2 else ""

    @property
    def observed(self) -> list[Observation]:
        """What was observed at the weights that are behind us, as the commits tell it, oldest first."""
        return [one for commit in reversed(self.commits) for one in from_trailer(_observed(commit))]

    @property
    def unobserved(self) -> list[Span]:
        """When gray got requests and no commit tells what they showed: whoever watched was cut short."""
        return list(_unobserved(tuple(reversed(self.commits))))


@dataclass(frozen=True, slots=True)
class ToldRelease:
    """A gray release as its commits tell it.

    Arguments:
        number: of the release.
        last_step: what its newest commit did.
        observations: in order of time.
    """

    number: int
    last_step: str
    observations: tuple[Observation, ...]


def told_releases(commits: Iterable[Commit], environment: str) -> Iterator[ToldRelease]:
    """The gray releases of an environment of which commits tell what was observed, oldest first.

    Arguments:
        commits: those that changed the environment's file, newest first.
    """
    chapter: list[Commit] = []
    for commit in (*reversed(list(commits)), None):
        trailers = commit.trailers if commit else {}
        if commit and trailers.get("Pipegraft-Environment") != environment:
            continue
        if commit is None or trailers.get("Pipegraft-Step") in ("prepare", "bump"):
            observed = tuple(one for old in chapter for one in from_trailer(_observed(old)))
            if observed:
                told = chapter[-1].trailers
                number = int(told["Pipegraft-Release"])
                yield ToldRelease(number, told.get("Pipegraft-Step", ""), observed)
            chapter = []
        if commit and trailers.get("Pipegraft-Release", "").isdecimal():
            chapter.append(commit)


def _observed(commit: Commit) -> str:
    return commit.trailers.get(OBSERVED, "")


def _unobserved(commits: Sequence[Commit]) -> Iterator[Span]:
    weight, waits = 0, False
    for commit, following in pairwise(commits):
        step = commit.trailers.get("Pipegraft-Step", "")
        weight = weight_of(step, weight)
        waits = step in (Do.PAUSE, Do.HOLD)
        if weight and not waits and following.time > commit.time and not _observed(following):
            yield Span(commit.time, following.time, weight)


def step_name(steps: Sequence[int], move: Move) -> str:
    """What a move is called in the trailer ``Pipegraft-Step``: ``2/3 weight=50``, ``promote``, …"""
    if move.do is not Do.WEIGHT:
        return str(move.do)
    place = f"{steps.index(move.weight) + 1}/{len(steps)} " if move.weight in steps else ""
    return f"{place}weight={move.weight}"


def weight_of(step: str, before: int) -> int:
    """Percent of the requests after a commit with this ``Pipegraft-Step``.

    Arguments:
        before: percent before it.
    """
    found = _WEIGHT.search(step)
    return int(found[1]) if found else {"promote": 100, "bump": 100, "rollback": 0}.get(step, before)
