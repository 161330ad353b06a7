"""What a given traffic can show, and when: without a simulation, from expected counts.

The evidence of an interval with b expected bad requests of gray, if its rate is f times stable's, is b times
the divergence of Poisson laws, f ln f - f + 1; a few intervals more come from the weather that the judge
allows for, which grow as the factor shrinks. The constants are fitted to the judge `sequential` with its
default settings, in simulated releases; a test compares them with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, log
from typing import Final

from pipegraft.gray.judgement import JudgePolicy, MetricPolicy
from pipegraft.gray.judging.hypotheses import USUAL_MEMORY
from pipegraft.gray.observation import ArmCounts, Observation

__all__ = [
    "FACTORS",
    "Traffic",
    "bad_requests",
    "looks_to_find",
    "looks_to_pass",
    "outlook",
    "patience",
    "per_request",
    "traffic_of",
    "what_shows",
]

FACTORS: Final = (1.5, 2.0, 3.0, 5.0, 10.0)
"""Multiples of stable's rate that people are told about."""

_EVIDENCE: Final = 12.0
"""Logarithm of the evidence that finds a fault, with what the mixture of hypotheses costs."""

_WEATHER: Final = 20.0, 2
_SLOW_WEATHER: Final = 90.0, 4
"""What the judge allows one version alone, with a short and with a long memory, and the power with which it
grows as the factor shrinks: with a wander of 0.2, four or eighteen intervals for a doubling."""

_IN_FAVOUR: Final = 11.0
_CALM: Final = 40.0
"""The same two for a good version to pass, at a margin of 1: eight intervals for the weather."""

_FEWEST: Final = 2.0
"""No single interval decides."""

_DOUBLING: Final = 2.0
_IN_DOUBT: Final = 1.13
_TWICE: Final = 2.0
_SHORTEST: Final = 10.0
_LONGEST: Final = 30.0
"""A step waits twice as long as a fault takes to be found, but never shorter or longer than this many
intervals; for a doubling, as long as there is, also where it takes a little more: it points to harm by then,
and a step that does waits longer."""


_TWO_SMALL_ARMS: Final = 0.5
"""What a bad request tells where stable's fresh pods get no more requests than gray's: the relative variance
of a ratio of two counts is 1/g + 1/s."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one metric counts in one interval.

    Arguments:
        requests: of gray.
        bad: expected bad ones among them, if gray is as good as stable.
    """

    requests: float
    bad: float


def looks_to_find(factor: float, bad: float, policy: JudgePolicy) -> float:
    """Intervals until half of the versions that are so much worse are found; infinite if never.

    Arguments:
        factor: how many times stable's rate gray's is; above 1.
        bad: bad requests that gray would have in an interval at stable's rate.
    """
    if bad <= 0:
        return inf
    evidence = bad * (factor * log(factor) - factor + 1.0)
    needed = _EVIDENCE + log(len(policy.metrics)) + log(0.01 / policy.alpha)
    times, power = _SLOW_WEATHER if policy.memory > USUAL_MEMORY else _WEATHER
    weather = times * policy.wander * (log(2.0) / log(factor)) ** power
    return max(_FEWEST, weather + needed / evidence)


def looks_to_pass(bad: float, policy: JudgePolicy, margin: float = 1.0) -> float:
    """Intervals until half of the versions that are as good as stable have passed; infinite if never.

    Arguments:
        bad: bad requests that gray has in an interval.
        margin: as the metric's policy has it.
    """
    if bad <= 0 or margin <= 0:
        return inf
    evidence = bad * (margin - log(1.0 + margin))
    weather = _CALM * policy.wander * (log(2.0) / log(1.0 + margin)) ** 2
    return max(policy.min_intervals, weather + _IN_FAVOUR / evidence)


def traffic_of(metric: MetricPolicy, step: Sequence[Observation]) -> Traffic:
    """What a metric counted in an interval of a step, on average.

    Bad requests of gray are those of stable's rate, so that gray's own have no part in it.
    """
    requests = rate = 0.0
    pairs = [pair for pair in (one.pair(metric.name) for one in step) if pair]
    stable = [arm for arm, _ in pairs]
    total = sum(arm.requests for arm in stable)
    if pairs and total:
        rate = sum(bad_requests(metric, arm) for arm in stable) / total
        requests = sum(arm.requests for _, arm in pairs) / len(pairs)
    return Traffic(requests, requests * rate * per_request(fresh=bool(step) and step[-1].fresh))


def per_request(*, fresh: bool) -> float:
    """How much a bad request of gray tells, of what it tells beside many of stable's.

    Arguments:
        fresh: whether gray is compared with fresh pods that get as many requests.
    """
    return _TWO_SMALL_ARMS if fresh else 1.0


def bad_requests(metric: MetricPolicy, arm: ArmCounts) -> float:
    """How many of an arm's requests failed, or were slow."""
    if arm.latency is not None:
        slow = 1.0 - metric.quantile
        return arm.latency.slower_than(metric.threshold) if metric.threshold else slow * arm.latency.total
    return arm.errors or 0.0


def patience(policy: JudgePolicy, step: Sequence[Observation]) -> int:
    """Intervals that a step should wait for an answer at its traffic; see `patience_for`."""
    counting = [metric for metric in policy.metrics if metric.critical and metric.kind != "value"]
    return patience_for(policy, [traffic_of(metric, step).bad for metric in counting])


def patience_for(policy: JudgePolicy, bad: Sequence[float]) -> int:
    """Intervals that a step should wait for an answer.

    Twice as long as the smallest factor takes that the traffic can show in time at all; where it can show
    none, waiting shows nothing either.

    Arguments:
        bad: bad requests that gray would have in an interval at stable's rate, of each critical metric that
            counts any.
    """
    found = _SHORTEST
    for expected in bad:
        takes = ((factor, looks_to_find(factor, expected, policy)) for factor in FACTORS[1:])
        shown = (
            looks
            for factor, looks in takes
            if looks <= _LONGEST * (_IN_DOUBT if factor == _DOUBLING else 0.5)
        )
        found = max(found, _TWICE * next(shown, 0.0))
    if any(metric.kind == "value" and metric.critical for metric in policy.metrics):
        found = _LONGEST
    return ceil(min(found, _LONGEST))


def outlook(policy: JudgePolicy, step: Sequence[Observation]) -> str:
    """What a step's traffic can show, for people: by the metric that shows least.

    Arguments:
        step: what was observed at the present weight, one interval or more.

    Returns:
        A clause; empty where no critical metric counts requests.
    """
    counting = [metric for metric in policy.metrics if metric.critical and metric.kind != "value"]
    if not counting or not step:
        return ""
    least = min(traffic_of(metric, step).bad for metric in counting)
    return f"at this traffic {what_shows(policy, least, sum(one.seconds for one in step) / len(step))}"


def what_shows(policy: JudgePolicy, bad: float, seconds: float) -> str:
    """What an interval's traffic can show, as a clause.

    Arguments:
        bad: bad requests that gray would have in it at stable's rate.
        seconds: its length.
    """
    found = {factor: looks_to_find(factor, bad, policy) for factor in FACTORS}
    seen = [factor for factor, looks in found.items() if looks <= _LONGEST]
    if not seen:
        return f"not even {FACTORS[-1]:g} times the bad requests would be found in time"
    first = 2.0 if 2.0 in seen else seen[0]
    unseen = [factor for factor in FACTORS if factor < seen[0]]
    beyond = f", {unseen[-1]:g} times cannot be seen" if unseen else ""
    takes = f"{found[first] * seconds / 60.0:.2g} min"
    return f"{first:g} times the bad requests are found in {takes}{beyond}"
