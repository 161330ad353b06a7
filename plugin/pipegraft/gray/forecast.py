"""What the past foretells of a gray release: what can be seen, how long it takes, how far versions drift.

The drift is learnt: of each interval both versions' bad requests are known. The filter that the judge
believes in (`Wandering`) gives their likelihood for any drift and memory; the best of a grid, over all
intervals, is what the service shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import exp, log
from typing import Final, Literal

from pipegraft.core.delivery import Environment, Gray
from pipegraft.core.errors import OutsideError, PipegraftError, UsageError
from pipegraft.core.page import show_duration
from pipegraft.gray.history import ToldRelease
from pipegraft.gray.judgement import JudgePolicy, MetricPolicy, judge_policy
from pipegraft.gray.judging.detectability import (
    bad_requests,
    looks_to_pass,
    patience_for,
    per_request,
    what_shows,
)
from pipegraft.gray.judging.hypotheses import Wandering
from pipegraft.gray.judging.readings import BadRequests, Draws
from pipegraft.gray.judging.sequential import marked_cold
from pipegraft.gray.observation import ArmCounts, Observation, total
from pipegraft.gray.ports import MetricSource, PodSource, RememberingSource

__all__ = [
    "FEWEST",
    "LearntDrift",
    "Promise",
    "StableTraffic",
    "foretell",
    "learn",
    "learn_from_pods",
    "longest_release",
    "promise",
    "seen_traffic",
    "stable_traffic",
    "with_learnt",
]


_HOURS: Final = 3
"""How far back stable is looked at."""

_LAST_HOURS: Final = f"stable's last {_HOURS} h"


def longest_release(environment: Environment) -> float:
    """Seconds that an environment's gray release may take by its own limits; 0 if it has none.

    It also waits for the engine, once a step and once for what it becomes; a step that points to harm takes
    longer, and is the last one.
    """
    gray = environment.gray
    if gray is None:
        return 0.0
    doubt = gray.step_deadline if gray.deadline is None else 0.0
    return gray.longest + (len(gray.steps) + 1) * environment.gate.timeout + doubt


@dataclass(frozen=True, slots=True)
class StableTraffic:
    """What one metric counted of stable, in a minute on average.

    Arguments:
        metric: its name.
        requests: served.
        bad: failed, or slow ones among them.
    """

    metric: str
    requests: float
    bad: float


@dataclass(frozen=True, slots=True)
class Promise:
    """What a release can be expected to show.

    Arguments:
        lines: for people: the traffic, what each weight can show, and how long it all takes.
        usual: seconds until half of the good versions are promoted.
        longest: seconds after which the release is over, or held, by its own limits.
    """

    lines: tuple[str, ...]
    usual: float
    longest: float


def stable_traffic(gray: Gray, sources: Mapping[str, MetricSource], now: float) -> tuple[StableTraffic, ...]:
    """Ask the sources that remember what the critical metrics counted in the last hours.

    Arguments:
        gray: how the environment declares its gray releases.
        sources: by the metric's name.
        now: seconds since the epoch.

    Raises:
        OutsideError, UsageError: a source did not answer, or does not understand what it is asked.
    """
    found: list[StableTraffic] = []
    for metric in judge_policy(gray).metrics:
        source = sources.get(metric.name)
        if metric.kind == "value" or not metric.critical or not isinstance(source, RememberingSource):
            continue
        seen = source.past(now - _HOURS * 3600.0, now).stable
        if seen is not None and seen.requests:
            minutes = _HOURS * 60.0
            bad = bad_requests(metric, seen)
            found.append(StableTraffic(metric.name, seen.requests / minutes, bad / minutes))
    return tuple(found)


def promise(gray: Gray, traffic: Sequence[StableTraffic], seen: str = _LAST_HOURS) -> Promise:
    """What this traffic can show, by the metric that shows least.

    Arguments:
        gray: how the environment declares its gray releases.
        traffic: of each critical metric that counts requests, one or more.
        seen: what the traffic is of.
    """
    policy = judge_policy(gray)
    margins = {metric.name: metric.margin for metric in policy.metrics}
    least = min(traffic, key=lambda one: one.bad)
    rate = f"{100 * least.bad / least.requests:.3g}%"
    shown = f"{least.requests:,.0f} requests a minute, {rate} of them bad ({least.metric})"
    lines = [f"{seen}: {shown}"]
    usual = longest = gray.bake
    for weight in gray.steps:
        part = weight / 100 * gray.interval / 60 * per_request(fresh=gray.baseline == "fresh")
        bad = {one.metric: one.bad * part for one in traffic}
        lines.append(f"at {weight}% {what_shows(policy, bad[least.metric], gray.interval)}")
        waits = _deadline(policy, gray, list(bad.values()))
        passes = max(looks_to_pass(one, policy, margins[name]) for name, one in bad.items())
        usual += policy.warm_up + min(passes * gray.interval, waits)
        longest += policy.warm_up + waits
    lines.append(
        f"a good version takes about {show_duration(usual)}, {show_duration(longest)} if nothing is decided"
    )
    return Promise(tuple(lines), usual, longest)


def _deadline(policy: JudgePolicy, gray: Gray, bad: Sequence[float]) -> float:
    """Seconds a step may take at this traffic, after its warm-up, where nothing points to harm."""
    if not policy.deadline_follows:
        return gray.step_deadline
    return min(gray.step_deadline, patience_for(policy, bad) * gray.interval)


def foretell(gray: Gray, sources: Mapping[str, MetricSource], now: float) -> Iterator[str]:
    """The lines of the promise, or why there is none; nothing where no source remembers.

    Arguments:
        gray: how the environment declares its gray releases.
        sources: by the metric's name.
        now: seconds since the epoch.
    """
    if not any(isinstance(source, RememberingSource) for source in sources.values()):
        return
    try:
        traffic = stable_traffic(gray, sources, now)
    except (OutsideError, UsageError) as error:
        yield f"what this traffic can show is not known: {error}"
        return
    if traffic:
        yield from promise(gray, traffic).lines
    else:
        yield f"no critical metric counted a request of stable in {_HOURS} h: nothing to compare with"


_DRIFTS: Final = (0.01, 0.03, 0.05, 0.07, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.36, 0.43, 0.5)
_MEMORIES: Final = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
FEWEST: Final = 40
"""Intervals with bad requests of both versions that are needed to learn from."""

_DAY: Final = 86400.0
_MOST_INTERVALS: Final = 300
"""How far back stable's pods are looked at."""

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
        of: earlier `releases`, or stable's own `pods`.
    """

    metric: str
    drift: float
    low: float
    high: float
    memory: float
    intervals: int
    of: Literal["releases", "pods"] = "releases"


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


def learn_from_pods(
    gray: Gray,
    sources: Mapping[str, MetricSource],
    learnt: Sequence[LearntDrift],
    until: float,
    failed: Callable[[str, PipegraftError], None],
) -> tuple[LearntDrift, ...]:
    """What stable's own pods show of the metrics that releases tell too little of.

    One half of the pods is held against the other one, as gray against stable, over the last day (placebo
    arms: Abadie, Diamond and Hainmueller, JASA 105, 2010). Fewer pods drift further than all, so what is
    found is wide rather than narrow.

    Arguments:
        gray: how the environment declares its gray releases.
        sources: by the metric's name.
        learnt: what is known already.
        until: end of the day that is looked at, seconds since the epoch.
        failed: told which metric's source did not answer, or does not understand what it is asked.

    Returns:
        What is known already, and one for each further metric of which there is enough.
    """
    known = {one.metric for one in learnt}
    found = list(learnt)
    for metric in judge_policy(gray).metrics:
        source = sources.get(metric.name)
        if metric.name in known or metric.kind == "value" or not isinstance(source, PodSource):
            continue
        seconds = min(_DAY, _MOST_INTERVALS * gray.interval)
        try:
            halves = list(_halves(metric, source.pods(until - seconds, until, gray.interval)))
        except (OutsideError, UsageError) as error:
            failed(metric.name, error)
            continue
        drift = _learn(metric, [halves])
        if drift is not None:
            found.append(replace(drift, of="pods"))
    return tuple(found)


def _halves(metric: MetricPolicy, intervals: Sequence[Mapping[str, ArmCounts]]) -> Iterator[Draws]:
    """Every second pod against the others, in the order in which they came."""
    order: dict[str, int] = {}
    read = BadRequests(metric).read
    for pods in intervals:
        for pod in sorted(pods):
            order.setdefault(pod, len(order))
        halves = [
            [
                Observation(0, 1, 50, {metric.name: counts})
                for pod, counts in pods.items()
                if order[pod] % 2 == n
            ]
            for n in (0, 1)
        ]
        if all(halves):
            one, other = (total(half).stable[metric.name] for half in halves)
            draws = read(one, other)
            if draws.gray and draws.stable and draws.gray_bad + draws.stable_bad:
                yield draws


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
            if pair and one.weight:
                draws = read(*pair)
                share = 2 * one.weight / 100 if one.fresh else 1.0  # of all requests, that both arms get
                requests, seconds = requests + (draws.gray + draws.stable) / share, seconds + one.seconds
                stable, bad = stable + draws.stable, bad + draws.stable_bad
        if stable:
            minutes = seconds / 60.0
            found.append(StableTraffic(metric.name, requests / minutes, requests * bad / stable / minutes))
    return tuple(found)
