"""What the verdicts share: conditions and generations of Kubernetes objects, and how several count as one.

Source: https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pipegraft.gate.ports import Resource, State, Status, Verdict, VerdictRule

__all__ = [
    "COMMIT",
    "HOPELESS",
    "Object",
    "condition",
    "expected_count",
    "is_about",
    "is_observed",
    "is_true",
    "name_of",
    "said",
    "same_repository",
    "several",
    "time_of",
    "worst",
]

Object = Mapping[str, Any]
"""A Kubernetes object as its API answers it."""

COMMIT = re.compile(r"\b(?:[0-9a-f]{40}|[0-9a-f]{64})\b")
"""A commit, in the words of a message."""
HOPELESS = re.compile(
    r"is invalid:|immutable|unknown field|strict decoding error|error validating data|Unsupported value"
    r"|execution error at|parse error at|error calling |meet the specifications of the schema"
    r"|denied (the )?request|is not permitted in project"
)
"""Words by which an API server, Helm or Argo CD refuses what it will refuse as often as it is tried."""
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
    """The worst of several verdicts, with what every bad one found as evidence, or all where all is well.

    Arguments:
        good: reason when all succeeded.
    """
    given = tuple(verdicts)
    rows = tuple(row for verdict in given for row in verdict.resources)
    images = tuple(image for verdict in given for image in verdict.images or ())
    found = sorted(given, key=lambda verdict: _ORDER.index(verdict.state))
    bad = [verdict for verdict in found if verdict.state is not State.SUCCEEDED]
    if not bad:
        told = tuple(dict.fromkeys(line for verdict in given for line in verdict.evidence))
        return Verdict(State.SUCCEEDED, good, told, rows, images)
    others = [f"{verdict.state}: {verdict.reason}" for verdict in bad[1 : _TOLD + 1]]
    if len(bad) > _TOLD + 1:
        others.append(f"and {len(bad) - _TOLD - 1} more")
    return Verdict(bad[0].state, bad[0].reason, (*bad[0].evidence, *others), rows, images)


def expected_count(names: Sequence[str], below: int, expect: int | None, *, open_ended: bool) -> int:
    """How many applications there must be, those that others declare among them.

    Arguments:
        below: how many are declared by these.
        expect: how many people say. Where all are named, that may count those below; where some are chosen
            by labels, those below must not stand in for one of them that is missing.
        open_ended: whether some are chosen by labels.
    """
    if open_ended:
        return (expect or len(names)) + below
    return max(expect or 0, len(names) + below)


def several(
    rule: VerdictRule, called: Callable[[Status], str]
) -> Callable[[Status, Callable[[str], bool]], Verdict]:
    """The rule for several applications, from the rule for one: the worst of them counts.

    Arguments:
        rule: reads one entry of ``applications``.
        called: the name of what an entry is about.

    Returns:
        A rule over ``applications``, a list of statuses, ``expected``, how many there must be, and
        ``unseen``, names of those that are declared and cannot be seen.
    """

    def verdict(status: Status, at_target: Callable[[str], bool]) -> Verdict:
        entries: Sequence[Mapping[str, object]] = status["applications"]
        found = [_named(rule(entry, at_target), called(entry), len(entries) > 1) for entry in entries]
        expected = status.get("expected", 1)
        if len(found) < expected:
            there = f"{len(found)} of {expected} applications are there"
            unseen = ", ".join(status.get("unseen") or ())
            found.append(
                Verdict(State.PROGRESSING, f"{there}; not to be seen: {unseen}" if unseen else there)
            )
        good = found[0].reason if len(found) == 1 else f"{len(found)} applications are live and healthy"
        return worst(found, good)

    return verdict


def _named(found: Verdict, name: str, is_one_of_many: bool) -> Verdict:
    """A verdict that says whose it is; of many only what is not well is worth a line beside that."""
    mine = Resource(name, found.state, found.reason)
    if not is_one_of_many:
        return replace(found, resources=(mine, *found.resources))
    unwell = tuple(row for row in found.resources if row.state is not State.SUCCEEDED)
    return replace(found, reason=f"{name}: {found.reason}", resources=(mine, *unwell))


def same_repository(one: str, other: str) -> bool:
    """Whether two URLs are of one repository, whatever the protocol: host and path tell."""
    return _address(one) == _address(other)


def _address(url: str) -> str:
    plain = re.sub(r"^[\w+.-]+://", "", url.strip().lower()).rpartition("@")[2]
    host, _, path = plain.replace(":", "/", 1).partition("/")
    return f"{host}/{re.sub('^[0-9]+/', '', path)}".rstrip("/").removesuffix(".git")
