"""What was observed, small enough for a commit trailer, so that the next process goes on with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipegraft.core.errors import UsageError
from pipegraft.core.limits import load_json
from pipegraft.gray.model.judgement import Evidence, Judgement
from pipegraft.gray.model.observation import ArmCounts, Histogram, Observation

__all__ = ["OBSERVED", "as_data", "from_trailer", "look_data", "part_of", "to_trailer", "total"]

OBSERVED = "Pipegraft-Observed"
"""Trailer of the commits that end a step: what was observed at its weight, interval by interval."""

_MOST = 60
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
            "stable": {metric: _pack(counts, metric, bounds) for metric, counts in one.stable.items()},
            "gray": {metric: _pack(counts, metric, bounds) for metric, counts in one.gray.items()},
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
        for arm in ("stable", "gray")
    }
    return Observation(data["start"], data["end"], data["weight"], arms["stable"], arms["gray"])


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


def total(observations: Sequence[Observation]) -> Observation:
    """Several intervals of one weight as one."""
    first, last = observations[0], observations[-1]
    return Observation(
        first.start,
        last.end,
        last.weight,
        _sum(observation.stable for observation in observations),
        _sum(observation.gray for observation in observations),
    )


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


def _sum(arms: Iterable[Mapping[str, ArmCounts]]) -> dict[str, ArmCounts]:
    found: dict[str, ArmCounts] = {}
    for arm in arms:
        for metric, counts in arm.items():
            found[metric] = _add(found[metric], counts) if metric in found else counts
    return found


def _add(one: ArmCounts, other: ArmCounts) -> ArmCounts:
    """Two intervals of one metric as one; of plain values the later one."""
    return ArmCounts(
        one.requests + other.requests,
        None if one.errors is None or other.errors is None else one.errors + other.errors,
        None if one.latency is None or other.latency is None else one.latency.plus(other.latency),
        other.value,
    )


def part_of(counts: ArmCounts, part: float) -> ArmCounts:
    """A share of what was counted; a plain value stays."""
    latency = counts.latency
    return ArmCounts(
        counts.requests * part,
        None if counts.errors is None else counts.errors * part,
        None if latency is None else Histogram(latency.bounds, tuple(part * one for one in latency.counts)),
        counts.value,
    )


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
