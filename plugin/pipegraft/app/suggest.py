"""`pipegraft judge --suggest`: settings that an environment's own past speaks for, and their promise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from pipegraft.app.gray import choose_environment
from pipegraft.appspec.environment_file import environment_path
from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.delivery import Gray
from pipegraft.core.errors import PipegraftError, UsageError
from pipegraft.core.hooks import connected
from pipegraft.core.stage import Connections, Project
from pipegraft.gray.forecast import (
    FEWEST,
    LearntDrift,
    learn,
    learn_from_pods,
    promise,
    seen_traffic,
    stable_traffic,
    with_learnt,
)
from pipegraft.gray.history import told_releases
from pipegraft.gray.judging.metric_state import percent
from pipegraft.gray.ports import METRICS
from pipegraft.iac.ports import IAC

__all__ = ["Suggestion", "suggest", "suggestion_data", "suggestion_lines"]

_NEWEST = 5000
"""Commits of an environment's file that are searched for releases."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What earlier releases speak for, and stable's own pods where they tell too little.

    Arguments:
        environment: whose.
        releases: how many were promoted and tell what was observed.
        learnt: of each metric that there is enough of.
        gray: the declaration with what was learnt.
        promised: what the traffic of the newest release, or of stable's last hours, can show with it.
        untold: of which metrics stable's pods could not be asked, and why.
    """

    environment: str
    releases: int
    learnt: tuple[LearntDrift, ...]
    gray: Gray
    promised: tuple[str, ...]
    untold: tuple[str, ...] = ()


def suggest(project: Project, environment: str | None, connections: Connections | None = None) -> Suggestion:
    """Learn from the releases that the IaC repository tells of, and from stable's pods.

    Arguments:
        environment: its name; may be None if only one declares gray releases.

    Raises:
        UsageError: they tell too little.
        OutsideError: the IaC repository or a metric source did not answer.
    """
    name, gray = choose_environment(project, environment)
    path = environment_path(project.delivery.iac.path, name)
    with connected(project, connections) as opened:
        log = opened.open(IAC).log(path, limit=_NEWEST)
        told = [one for one in told_releases(log, name) if one.last_step == "promote"]
        now, sources = SystemClock().now(), opened.open(METRICS, name)
        failed: dict[str, PipegraftError] = {}
        learnt = learn_from_pods(gray, sources, learn(gray, told), now, failed.__setitem__)
        traffic = seen_traffic(gray, told) or stable_traffic(gray, sources, now)
    if failed and not learnt:
        raise next(iter(failed.values()))
    if not learnt:
        raise UsageError(
            f"{len(told)} promoted releases in the history of {path} tell too little to learn from, and so "
            f"do stable's pods: expected {FEWEST} intervals with bad requests, after warm-ups, of one metric",
            fix="come back after some gray releases, or simulate: pipegraft judge --simulate",
        )
    found = with_learnt(gray, learnt)
    whose = ("the newest release",) if told else ()
    promised = promise(found, traffic, *whose).lines if traffic else ()
    untold = tuple(f"{metric}: stable's pods are not known: {error}" for metric, error in failed.items())
    return Suggestion(name, len(told), learnt, found, promised, untold)


def suggestion_lines(found: Suggestion) -> Iterator[str]:
    """For people: what was learnt, what to write into delivery.yaml, and what that promises."""
    pods = " and stable's own pods" if any(one.of == "pods" for one in found.learnt) else ""
    yield f"{found.environment}, from {found.releases} promoted releases{pods}"
    for one in found.learnt:
        drift = f"{percent(one.drift)} ({percent(one.low)} to {percent(one.high)})"
        yield f"  {one.metric}: each version drifts by itself by {drift}, memory {one.memory:g}"
        how = ", half of the pods against the others" if one.of == "pods" else ""
        yield f"    in {one.intervals} intervals{how}"
    yield from (f"  {line}" for line in found.untold)
    yield "gray:                # learn: true does the same at each release"
    for key, value in _settings(found).items():
        yield f"  {key}: {value:g}"
    for metric, margin in _margins(found).items():
        yield f"  # margin of {metric}: {margin:g}"
    yield from (f"  {line}" for line in found.promised)


def suggestion_data(found: Suggestion) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "environment": found.environment,
        "releases": found.releases,
        "learnt": [asdict(one) for one in found.learnt],
        "settings": {**_settings(found), "margins": _margins(found)},
        "promised": list(found.promised),
    }


def _settings(found: Suggestion) -> dict[str, float]:
    return {"wander": found.gray.wander, "memory": found.gray.memory}


def _margins(found: Suggestion) -> dict[str, float]:
    return {metric.name: metric.margin for metric in found.gray.metrics}
