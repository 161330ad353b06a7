"""`pipegraft judge --simulate`: what a policy does with whole releases, good and bad; needs numpy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pipegraft.core.delivery import Gray
from pipegraft.core.errors import UsageError
from pipegraft.gray.judgement import JudgePolicy, MetricPolicy, judge_policy
from pipegraft.gray.simulation import FAULTS, WORLDS, Fault, Tally, World, simulate

__all__ = ["SimulatedLine", "simulate_policy"]

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
    fresh = gray is not None and gray.baseline == "fresh"
    for name, world in WORLDS.items():
        if requests is not None and world.requests != World().requests:
            continue  # the worlds that differ by their traffic alone
        met = replace(world, rates=rates, requests=requests or world.requests, fresh=fresh or world.fresh)
        tally = simulate(met, Fault(), policy, steps, count=count, seconds=seconds)
        yield SimulatedLine(name, good=True, tally=tally)
    usual = World(rates=rates, requests=requests or World().requests, fresh=fresh)
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
