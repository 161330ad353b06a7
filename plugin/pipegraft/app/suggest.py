"""`pipegraft judge --suggest`: settings that an environment's own past speaks for, and their promise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from pipegraft.app.gray import choose_environment
from pipegraft.appspec.environment_file import environment_path
from pipegraft.core.delivery import Gray
from pipegraft.core.errors import UsageError
from pipegraft.core.hooks import connected
from pipegraft.core.stage import Connections, Project
from pipegraft.gray.forecast import FEWEST, LearntDrift, learn, promise, seen_traffic, with_learnt
from pipegraft.gray.history import told_releases
from pipegraft.gray.judging.metric_state import percent
from pipegraft.iac.ports import IAC

__all__ = ["Suggestion", "suggest", "suggestion_data", "suggestion_lines"]

_NEWEST = 5000
"""Commits of an environment's file that are searched for releases."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What earlier releases speak for.

    Arguments:
        environment: whose.
        releases: how many were promoted and tell what was observed.
        learnt: of each metric that there is enough of.
        gray: the declaration with what was learnt.
        promised: what the traffic of the newest release can show with it, for people.
    """

    environment: str
    releases: int
    learnt: tuple[LearntDrift, ...]
    gray: Gray
    promised: tuple[str, ...]


def suggest(project: Project, environment: str | None, connections: Connections | None = None) -> Suggestion:
    """Learn from the releases that the IaC repository tells of.

    Arguments:
        environment: its name; may be None if only one declares gray releases.

    Raises:
        UsageError: they tell too little.
        OutsideError: the IaC repository did not answer.
    """
    name, gray = choose_environment(project, environment)
    path = environment_path(project.delivery.iac.path, name)
    with connected(project, connections) as opened:
        log = opened.open(IAC).log(path, limit=_NEWEST)
    told = [one for one in told_releases(log, name) if one.last_step == "promote"]
    learnt = learn(gray, told)
    if not learnt:
        raise UsageError(
            f"{len(told)} promoted releases in the history of {path} tell too little to learn from: expected "
            f"{FEWEST} intervals with bad requests, after the warm-up, of one metric",
            fix="come back after some gray releases, or simulate: pipegraft judge --simulate",
        )
    found = with_learnt(gray, learnt)
    traffic = seen_traffic(gray, told)
    return Suggestion(
        name, len(told), learnt, found, promise(found, traffic, "the newest release").lines if traffic else ()
    )


def suggestion_lines(found: Suggestion) -> Iterator[str]:
    """For people: what was learnt, what to write into delivery.yaml, and what that promises."""
    yield f"{found.environment}, from {found.releases} promoted releases"
    for one in found.learnt:
        drift = f"{percent(one.drift)} ({percent(one.low)} to {percent(one.high)})"
        yield f"  {one.metric}: each version drifts by itself by {drift}, memory {one.memory:g}"
        yield f"    in {one.intervals} intervals"
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
