"""How far the versions of a service drift by themselves, learnt from its own earlier gray releases.

Of each interval both versions' bad requests are known. The filter that the judge believes in (`Wandering`)
gives their likelihood for any drift and memory; the best of a grid, over all intervals of all good releases,
is what the service shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import exp, log
from typing import Final

from pipegraft.core.delivery import Gray
from pipegraft.gray.history import ToldRelease
from pipegraft.gray.judging.conclusion import marked_cold
from pipegraft.gray.judging.hypotheses import Wandering
from pipegraft.gray.judging.readings import BadRequests, Draws
from pipegraft.gray.model.judgement import JudgePolicy, MetricPolicy, judge_policy
from pipegraft.gray.promise import StableTraffic

__all__ = ["FEWEST", "LearntDrift", "learn", "seen_traffic", "with_learnt"]

_DRIFTS: Final = (0.01, 0.03, 0.05, 0.07, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.36, 0.43, 0.5)
_MEMORIES: Final = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
FEWEST: Final = 40
"""Intervals with bad requests of both versions that are needed to learn from."""

_INSIDE: Final = 1.92
"""By how much the logarithm of a likelihood may fall inside a 95% interval."""

_CALMEST: Final = 0.05
"""The least `wander` that is proposed: a calm history is no promise."""


@dataclass(frozen=True, slots=True)
class LearntDrift:
    """What a metric shows of one version alone.

    Arguments:
        metric: its name.
        drift: standard deviation of the logarithm of one version's rate.
        low, high: its 95% interval.
        memory: correlation of the drift from one interval to the next.
        intervals: that it was learnt from.
    """

    metric: str
    drift: float
    low: float
    high: float
    memory: float
    intervals: int


def learn(gray: Gray, releases: Iterable[ToldRelease]) -> tuple[LearntDrift, ...]:
    """What the earlier releases that were promoted show, for each metric that counts requests.

    Arguments:
        gray: how the environment declares its gray releases.
        releases: as commits tell them.

    Returns:
        One for each metric of which there is enough.
    """
    policy = judge_policy(gray)
    good = [one for one in releases if one.last_step == "promote"]
    found = (_learn(metric, list(_series(metric, policy, good))) for metric in policy.metrics)
    return tuple(one for one in found if one is not None)


def _series(
    metric: MetricPolicy, policy: JudgePolicy, releases: Sequence[ToldRelease]
) -> Iterator[list[Draws]]:
    """Each release's intervals after the warm-up, weight by weight: what lies between is not known."""
    if metric.kind == "value":
        return
    for release in releases:
        read = BadRequests(metric).read
        for _, step in groupby(release.observations, key=lambda one: one.weight):
            warm = [one for one, _, cold in marked_cold(policy, list(step)) if not cold]
            draws = [read(*pair) for pair in (one.pair(metric.name) for one in warm) if pair]
            yield [one for one in draws if one.gray and one.stable and one.gray_bad + one.stable_bad]


def _learn(metric: MetricPolicy, series: Sequence[Sequence[Draws]]) -> LearntDrift | None:
    intervals = sum(map(len, series))
    if intervals < FEWEST:
        return None
    scores = {
        (drift, memory): sum(_likelihood(one, drift, memory) for one in series)
        for drift in _DRIFTS
        for memory in _MEMORIES
    }
    best, memory = max(scores, key=lambda pair: scores[pair])
    inside = [drift for (drift, _), score in scores.items() if score >= scores[best, memory] - _INSIDE]
    return LearntDrift(metric.name, best, min(inside), max(inside), memory, intervals)


def _likelihood(series: Sequence[Draws], drift: float, memory: float) -> float:
    """Logarithm of the probability of a series, if both versions were equally good: what differs is drift."""
    story = Wandering(0.0, drift * 2**0.5, memory)
    for one in series:
        story.see(log(one.gray / one.stable), one.gray_bad, one.stable_bad)
    return float(story.score)


def with_learnt(gray: Gray, learnt: Sequence[LearntDrift]) -> Gray:
    """The same declaration with what was learnt: the widest drift, the longest memory, margins that follow.

    A difference of three drifts is innocent, so a version counts as good within more than that.

    Arguments:
        gray: how the environment declares its gray releases.
        learnt: of each metric; nothing is changed where it is empty.
    """
    if not learnt:
        return gray
    wander = max(_CALMEST, *(one.drift for one in learnt))
    memory = max(one.memory for one in learnt)
    margin = exp(3.0 * wander) - 1.0
    metrics = tuple(
        metric.model_copy(update={"margin": round(max(metric.margin, margin), 2)}) for metric in gray.metrics
    )
    return gray.model_copy(update={"wander": wander, "memory": memory, "metrics": metrics})


def seen_traffic(gray: Gray, releases: Sequence[ToldRelease]) -> tuple[StableTraffic, ...]:
    """What each critical metric counted in a minute while the newest release was observed, of both versions.

    Arguments:
        gray: how the environment declares its gray releases.
        releases: as commits tell them, the newest last.
    """
    found: list[StableTraffic] = []
    for metric in judge_policy(gray).metrics:
        if metric.kind == "value" or not metric.critical or not releases:
            continue
        read, requests, stable, bad, seconds = BadRequests(metric).read, 0.0, 0.0, 0.0, 0.0
        for one in releases[-1].observations:
            pair = one.pair(metric.name)
            if pair:
                draws = read(*pair)
                requests, seconds = requests + draws.gray + draws.stable, seconds + one.seconds
                stable, bad = stable + draws.stable, bad + draws.stable_bad
        if stable:
            minutes = seconds / 60.0
            found.append(StableTraffic(metric.name, requests / minutes, requests * bad / stable / minutes))
    return tuple(found)
