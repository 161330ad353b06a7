"""Settings of judges before a release: what they do with simulated ones, and what recorded ones speak for.

`pipegraft judge --simulate` and `pipegraft judge --suggest`, the latter with what the settings promise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipegraft.app.gray import choose_environment
from pipegraft.appspec.environment_file import environment_path
from pipegraft.core.delivery import Gray
from pipegraft.core.errors import UsageError
from pipegraft.core.hooks import connected
from pipegraft.core.stage import Connections, Project
from pipegraft.gray.forecast import FEWEST, LearntDrift, learn, promise, seen_traffic, with_learnt
from pipegraft.gray.history import told_releases
from pipegraft.gray.judgement import JudgePolicy, MetricPolicy, judge_policy
from pipegraft.gray.judging.metric_state import percent
from pipegraft.gray.simulation import FAULTS, WORLDS, Fault, Tally, World, simulate
from pipegraft.iac.ports import IAC

__all__ = ["SimulatedLine", "Suggestion", "simulate_policy", "suggest", "suggestion_data", "suggestion_lines"]

_STEPS = (5, 25, 50)
_INTERVAL = 60.0


@dataclass(frozen=True, slots=True)
class SimulatedLine:
    """Many releases of one kind.

    Arguments:
        name: the world, or the fault.
        good: whether the new version is as good as stable.
        tally: how they ended.
    """

    name: str
    good: bool
    tally: Tally


def simulate_policy(
    gray: Gray | None, *, count: int, requests: float | None = None, share: float = 0.01
) -> Iterator[SimulatedLine]:
    """Simulate good versions in every world, and bad ones in the usual one.

    Arguments:
        gray: how an environment declares its gray releases; the defaults at an interval of a minute if None.
        count: releases of each kind.
        requests: of both versions in an interval; as each world has them if None.
        share: of bad requests of stable, for each metric.

    Raises:
        UsageError: the judge is another one than `sequential`, or no metric counts requests.
    """
    policy, seconds = _default_policy(), _INTERVAL
    steps: tuple[int, ...] = _STEPS
    if gray is not None:
        policy, steps, seconds = _counting(gray), gray.steps, gray.interval
    rates = (share,) * len(policy.metrics)
    for name, world in WORLDS.items():
        if requests is not None and world.requests != World().requests:
            continue  # the worlds that differ by their traffic alone
        met = replace(world, rates=rates, requests=requests or world.requests)
        tally = simulate(met, Fault(), policy, steps, count=count, seconds=seconds)
        yield SimulatedLine(name, good=True, tally=tally)
    usual = World(rates=rates, requests=requests or World().requests)
    for name, fault in FAULTS.items():
        tally = simulate(usual, fault, policy, steps, count=count, seconds=seconds)
        yield SimulatedLine(name, good=False, tally=tally)


def _default_policy() -> JudgePolicy:
    metrics = MetricPolicy("errors"), MetricPolicy("p99", "latency")
    return JudgePolicy(metrics, warm_up=300.0, deadline=1800.0, deadline_follows=True)


def _counting(gray: Gray) -> JudgePolicy:
    policy = judge_policy(gray)
    metrics = tuple(metric for metric in policy.metrics if metric.kind != "value")
    if gray.judge != "sequential" or not any(metric.critical for metric in metrics):
        raise UsageError(
            f"expected the judge sequential and a critical metric that counts requests, found the judge "
            f"{gray.judge} and {len(metrics)} metrics that do",
            fix="leave out --env to simulate the defaults",
        )
    return replace(policy, metrics=metrics)


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
