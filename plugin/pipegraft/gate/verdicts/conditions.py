"""What Kubernetes objects have in common: generations, conditions, times (Kubernetes API conventions)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pipegraft.gate.ports import State, Verdict

__all__ = ["Object", "condition", "is_about", "is_observed", "is_true", "name_of", "said", "time_of", "worst"]

Object = Mapping[str, Any]
"""A Kubernetes object as its API answers it."""

_TOLD = 20
"""How many verdicts beside the worst one are told."""
_ORDER = (State.FAILED, State.BLOCKED, State.SUSPENDED, State.PROGRESSING, State.SUCCEEDED)


def condition(item: Object, kind: str) -> Mapping[str, Any]:
    """The condition of a type, empty if it is not there."""
    found: Sequence[Mapping[str, Any]] = item.get("status", {}).get("conditions") or ()
    return next((entry for entry in found if entry.get("type") == kind), {})


def is_true(item: Object, kind: str) -> bool:
    """Whether a condition is there and true."""
    return condition(item, kind).get("status") == "True"


def is_observed(item: Object) -> bool:
    """Whether the status is about the spec as it is now."""
    observed = item.get("status", {}).get("observedGeneration")
    return observed is not None and int(observed) >= int(item["metadata"].get("generation", 0))


def is_about(item: Object, entry: Mapping[str, Any]) -> bool:
    """Whether a condition is about the spec as it is now, which the whole status may lag behind."""
    observed = entry.get("observedGeneration")
    told = observed is not None and int(observed) >= int(item["metadata"].get("generation", 0))
    return told or is_observed(item)


def name_of(item: Object) -> str:
    """``Kind namespace/name``."""
    metadata = item["metadata"]
    place = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    return f"{item['kind']} {place}{metadata['name']}"


def said(entry: Mapping[str, Any]) -> str:
    """Reason and message of a condition, one line."""
    parts = [str(entry[key]) for key in ("reason", "message") if entry.get(key)]
    return " ".join(": ".join(parts).split())


def time_of(text: str | None) -> datetime:
    """An RFC 3339 time; the beginning of time if there is none."""
    return datetime.fromisoformat(text) if text else datetime.min.replace(tzinfo=UTC)


def worst(verdicts: Iterable[Verdict], good: str) -> Verdict:
    """The worst of several verdicts, with what every bad one found as evidence.

    Arguments:
        good: reason when all succeeded.
    """
    given = tuple(verdicts)
    rows = tuple(row for verdict in given for row in verdict.resources)
    found = sorted(given, key=lambda verdict: _ORDER.index(verdict.state))
    bad = [verdict for verdict in found if verdict.state is not State.SUCCEEDED]
    if not bad:
        return Verdict(State.SUCCEEDED, good, (), rows)
    others = [f"{verdict.state}: {verdict.reason}" for verdict in bad[1 : _TOLD + 1]]
    if len(bad) > _TOLD + 1:
        others.append(f"and {len(bad) - _TOLD - 1} more")
    return Verdict(bad[0].state, bad[0].reason, (*bad[0].evidence, *others), rows)
