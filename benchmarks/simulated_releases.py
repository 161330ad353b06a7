"""Gray releases made by chance: traffic, errors and latencies of two arms, with weather.

Rates move by disturbances that both arms share and by those each arm has alone; both are AR(1) from one
interval to the next. Counts are Poisson around the rates.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

from pipegraft.gray.judgement import MetricPolicy
from pipegraft.gray.observation import ArmCounts, Histogram, Observation

__all__ = ["BOUNDS", "METRICS", "Conditions", "release"]

ERRORS = {"errors": 0.01, "timeouts": 0.003, "rejections": 0.03}
"""Metric → share of bad requests of stable."""

LATENCIES = {"page": 0.1, "api": 0.03}
"""Metric → median latency of stable in seconds."""

METRICS = (
    *(MetricPolicy(name, floor=0.001) for name in ERRORS),
    *(MetricPolicy(name, "latency", floor=0.001) for name in LATENCIES),
)
"""The default policy, but with a floor below all these rates, so that none is good in any case."""

BOUNDS = {name: 2 * share for name, share in ERRORS.items()} | {
    name: 4 * median for name, median in LATENCIES.items()
}
"""Metric → what a fixed bound of its share of errors, or of its p99 in seconds, would be."""

_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0)
_SPREAD = 0.5  # standard deviation of the logarithm of a latency
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a release meets.

    Arguments:
        requests: expected in one interval, of both arms together.
        weight: percent meant for gray.
        memory: correlation of every disturbance from one interval to the next.
        own: standard deviation of the logarithm of one arm's error rate, by itself.
        shared: the same of what disturbs both arms alike.
        error_ratio: how many times stable's gray's true rate of `errors` is.
        latency_ratio: the same of the latencies of `page`.
        intervals: how many.
    """

    requests: float = 60_000
    weight: float = 5.0
    memory: float = 0.0
    own: float = 0.2
    shared: float = 0.4
    error_ratio: float = 1.0
    latency_ratio: float = 1.0
    intervals: int = 60


def release(conditions: Conditions, seed: int) -> list[Observation]:
    """One release, the same for the same seed."""
    chance = random.Random(f"{seed}")
    names = [*ERRORS, *LATENCIES]
    shared = {name: _weather(chance, conditions.memory) for name in names}
    own = {(arm, name): _weather(chance, conditions.memory) for arm in (0, 1) for name in names}
    observations = []
    for number in range(conditions.intervals):
        total = conditions.requests * math.exp(0.2 * chance.gauss(0, 1))
        both = {name: conditions.shared * next(weather) for name, weather in shared.items()}
        arms: list[dict[str, ArmCounts]] = []
        for arm, share in enumerate((1 - conditions.weight / 100, conditions.weight / 100)):
            alone = {name: conditions.own * next(own[arm, name]) for name in names}
            requests = _poisson(chance, total * share)
            arms.append(_arm(chance, conditions, requests, gray=arm == 1, moved=_sum(both, alone)))
        start = 60.0 * number
        observations.append(Observation(start, start + 60.0, conditions.weight, arms[0], arms[1]))
    return observations


def _arm(
    chance: random.Random, conditions: Conditions, requests: int, *, gray: bool, moved: dict[str, float]
) -> dict[str, ArmCounts]:
    counts = {}
    for name, share in ERRORS.items():
        ratio = conditions.error_ratio if gray and name == "errors" else 1.0
        bad = _poisson(chance, requests * min(0.9, share * ratio * math.exp(moved[name])))
        counts[name] = ArmCounts(requests, errors=min(bad, requests))
    for name, median in LATENCIES.items():
        ratio = conditions.latency_ratio if gray and name == "page" else 1.0
        # a rate of slow requests moves by about 2.7 times the logarithm of the latency in the upper tail
        middle = math.log(median * ratio) + moved[name] * _SPREAD / 2.7
        below = 0.0
        buckets = []
        for bound in _BOUNDS:
            upto = _NORMAL.cdf((math.log(bound) - middle) / _SPREAD)
            buckets.append(_poisson(chance, requests * (upto - below)))
            below = upto
        buckets.append(_poisson(chance, requests * (1 - below)))
        counts[name] = ArmCounts(sum(buckets), latency=Histogram(_BOUNDS, tuple(buckets)))
    return counts


def _weather(chance: random.Random, memory: float) -> Iterator[float]:
    state = chance.gauss(0, 1)
    while True:
        yield state
        state = memory * state + math.sqrt(1 - memory**2) * chance.gauss(0, 1)


def _sum(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    return {name: value + other[name] for name, value in one.items()}


def _poisson(chance: random.Random, mean: float) -> int:
    if mean > 50:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    left, count = chance.random(), 0
    part = math.exp(-mean)
    while left > part:
        left -= part
        count += 1
        part *= mean / count
        if part < 1e-300:
            break
    return count
