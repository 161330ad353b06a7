"""What commits and the release record tell of a gray release, and how it is written into them.

The observations of a weight stand in the trailer of the commit that ended it, so that the next process goes
on with them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pipegraft.core.errors import UsageError
from pipegraft.core.reading import load_json
from pipegraft.gray.judgement import Evidence, Judgement
from pipegraft.gray.machine import Do, Move
from pipegraft.gray.observation import ArmCounts, Histogram, Observation, total
from pipegraft.iac.ports import Commit

__all__ = [
    "OBSERVED",
    "STEPS",
    "Chapter",
    "Span",
    "ToldRelease",
    "as_data",
    "from_trailer",
    "look_data",
    "step_name",
    "to_trailer",
    "told_releases",
    "weight_of",
]

OBSERVED = "Pipegraft-Observed"
"""Trailer of the commits that end a step: what was observed at its weight, interval by interval."""

STEPS = "Pipegraft-Steps"
"""Trailer of a commit that holds a release: the weights of its delivery, for who goes on without its file."""

_ARMS = ("stable", "gray", "serving")
_MOST = 80
"""Intervals that one trailer keeps apart; of more, neighbours are put together."""


def to_trailer(observations: Sequence[Observation]) -> str:
    """One line of JSON; empty if nothing was observed."""
    if not observations:
        return ""
    bounds: dict[str, list[float]] = {}
    intervals = [
        {
            "start": round(one.start, 3),
            "end": round(one.end, 3),
            "weight": one.weight,
            **{
                arm: {metric: _pack(counts, metric, bounds) for metric, counts in getattr(one, arm).items()}
                for arm in (_ARMS if one.fresh else _ARMS[:2])
            },
            **({"fresh": True} if one.fresh else {}),
        }
        for one in _at_most(_MOST, observations)
    ]
    return json.dumps({"bounds": bounds, "intervals": intervals}, separators=(",", ":"))


def from_trailer(line: str) -> list[Observation]:
    """Read what `to_trailer` wrote; nothing if a person changed it beyond recognition."""
    try:
        data = load_json(line)
        return [_observation(one, data["bounds"]) for one in data["intervals"]]
    except (UsageError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _observation(data: Mapping[str, Any], bounds: Mapping[str, Sequence[float]]) -> Observation:
    arms = {
        arm: {metric: _unpack(counts, bounds.get(metric, ())) for metric, counts in data[arm].items()}
        for arm in (_ARMS if data.get("fresh") else _ARMS[:2])
    }
    return Observation(data["start"], data["end"], data["weight"], **arms, fresh=bool(data.get("fresh")))


def _at_most(most: int, observations: Sequence[Observation]) -> list[Observation]:
    """As they are if they are few; else neighbours together, but for those that do not fit together."""
    size = -(-len(observations) // most)
    found: list[Observation] = []
    for start in range(0, len(observations), size):
        part = observations[start : start + size]
        try:
            found.append(total(part))
        except UsageError:  # histograms with other bounds
            found += part
    return found


def as_data(judgement: Judgement) -> dict[str, Any]:
    """A judgement as plain JSON values, for the release record."""
    return {
        "answer": str(judgement.answer),
        "reason": judgement.reason,
        "gray-requests": judgement.gray_requests,
        "seconds": round(judgement.seconds, 3),
        "expired": judgement.expired,
        "evidence": [_evidence(one) for one in judgement.evidence],
    }


def look_data(observation: Observation, judgement: Judgement) -> dict[str, Any]:
    """One interval and what the judge said after it, as plain JSON values."""
    arms = (("stable", observation.stable), ("gray", observation.gray))
    return {
        "start": round(observation.start, 3),
        "end": round(observation.end, 3),
        "answer": str(judgement.answer),
        "metrics": {
            one.metric: {arm: _counts(counts[one.metric]) for arm, counts in arms if one.metric in counts}
            | {key: value for key in ("estimate", "low", "high") if (value := getattr(one, key)) is not None}
            for one in judgement.evidence
        },
    }


def _counts(counts: ArmCounts) -> dict[str, float]:
    data = {"requests": counts.requests, "errors": counts.errors, "value": counts.value}
    return {key: value for key, value in data.items() if value is not None}


def _evidence(evidence: Evidence) -> dict[str, Any]:
    data = {name: getattr(evidence, name) for name in evidence.__dataclass_fields__}
    return {name.replace("_", "-"): value for name, value in data.items() if value is not None} | {
        "answer": str(evidence.answer)
    }


def _pack(counts: ArmCounts, metric: str, bounds: dict[str, list[float]]) -> dict[str, Any]:
    """Plain values; the bounds of a metric's histograms are told once, in `bounds`."""
    data: dict[str, Any] = {"n": _short(counts.requests)}
    if counts.errors is not None:
        data["errors"] = _short(counts.errors)
    if counts.latency is not None:
        mine = list(counts.latency.bounds)  # to the last digit: they are compared
        if bounds.setdefault(metric, mine) != mine:
            data["bounds"] = mine
        data["counts"] = [_short(count) for count in counts.latency.counts]
    if counts.value is not None:
        data["value"] = counts.value
    return data


def _unpack(data: Mapping[str, Any], bounds: Sequence[float]) -> ArmCounts:
    latency = None
    if "counts" in data:
        latency = Histogram(tuple(data.get("bounds", bounds)), tuple(data["counts"]))
    return ArmCounts(data["n"], data.get("errors"), latency, data.get("value"))


def _short(number: float) -> float | int:
    return int(number) if number == int(number) else round(number, 6)


_WEIGHT = re.compile(r"weight=(\d+)$")
_WEIGHTS = {"take-over": 100, "promote": 100, "bump": 100, "rollback": 0}


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
        promoted: the file as it was before its promotion began, None if it did not.
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
        waits = step in (Do.PAUSE, Do.HOLD, Do.TAKE_OVER)
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
    return int(found[1]) if found else _WEIGHTS.get(step, before)
