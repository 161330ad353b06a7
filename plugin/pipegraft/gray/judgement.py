"""How a gray release is judged, and what a judge answers.

*Stable* is the version that serves now, *gray* the one that is being released.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pipegraft.core.delivery import Gray, Metric
from pipegraft.core.errors import UsageError

__all__ = [
    "Answer",
    "Evidence",
    "JudgePolicy",
    "Judgement",
    "MetricKind",
    "MetricPolicy",
    "OnUndecided",
    "judge_policy",
]

MetricKind = Literal["errors", "latency", "value"]
"""`errors`: share of failed requests; `latency`: share of slow requests; `value`: one number an interval."""


OnUndecided = Literal["promote", "hold", "rollback"]
"""What a deadline without an answer leads to: the next step, a person, or the version before."""

_MOST_FLOOR = 0.01
"""The highest floor of a metric that names none."""


@dataclass(frozen=True, slots=True)
class MetricPolicy:
    """What is expected of one metric.

    Arguments:
        name: key in the observations.
        kind: what it counts.
        tolerance: relative; gray is *worse* when its rate of bad requests (or its value) is more than
            ``1 + tolerance`` times stable's: a smaller difference has no practical significance.
        margin: relative; gray is *good* when it is surely below ``1 + margin`` times stable. At least the
            tolerance; the wider it is, the less traffic a step needs.
        floor: absolute, for errors and latency; a share of bad requests of gray up to this is good
            whatever stable's is. None follows stable: about twice its rate, `most_floor` at most.
        threshold: for latency: a request slower than this many seconds is slow. None takes the bucket
            bound that lies closest to the quantile of the traffic of both arms.
        quantile: for latency without a threshold.
        minimum: for a judge with bounds: gray's share, quantile or value may not be lower.
        maximum: for a judge with bounds: gray's share, quantile in seconds or value may not be higher.
        higher_is: for values: which direction is bad.
        critical: a critical metric takes the release back and must be shown good; another one that is
            worse only keeps the release from advancing by itself.
    """

    name: str
    kind: MetricKind = "errors"
    tolerance: float = 0.1
    margin: float = 1.0
    floor: float | None = None
    threshold: float | None = None
    quantile: float = 0.99
    minimum: float | None = None
    maximum: float | None = None
    higher_is: Literal["worse", "better"] = "worse"
    critical: bool = True

    def __post_init__(self) -> None:
        if not self.name:
            raise UsageError("expected a name for the metric, found an empty one")
        if self.kind not in ("errors", "latency", "value"):
            raise self._wrong("a kind of errors, latency or value", self.kind)
        if self.higher_is not in ("worse", "better"):
            raise self._wrong("higher-is to be worse or better", self.higher_is)
        if not 0 <= self.tolerance < math.inf:
            raise self._wrong("a tolerance of 0 or more", self.tolerance)
        if not self.tolerance <= self.margin < math.inf:
            raise self._wrong(f"a margin of at least the tolerance, {self.tolerance}", self.margin)
        if self.floor is not None and not 0 <= self.floor < 1:
            raise self._wrong("a floor from 0 to below 1 (5% is 0.05)", self.floor)
        if self.threshold is not None and not 0 < self.threshold < math.inf:
            raise self._wrong("a threshold in seconds above 0", self.threshold)
        if not 0 < self.quantile < 1:
            raise self._wrong("a quantile between 0 and 1", self.quantile)
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise self._wrong(f"a minimum of at most the maximum, {self.maximum}", self.minimum)

    @property
    def most_floor(self) -> float:
        """The floor, or the highest one where it follows stable: what lies beyond a latency's quantile."""
        if self.floor is not None:
            return self.floor
        beyond = 1.0 - self.quantile if self.kind == "latency" and self.threshold is None else _MOST_FLOOR
        return min(beyond, _MOST_FLOOR)

    def _wrong(self, expected: str, found: object) -> UsageError:
        return UsageError(f"metric '{self.name}': expected {expected}, found {found!r}")


@dataclass(frozen=True, slots=True)
class JudgePolicy:
    """How a release is judged.

    Arguments:
        metrics: what is looked at; one or more, names differ.
        alpha: share of releases of a version as good as stable that may be taken back falsely, over all
            metrics and all looks; also the share of worse versions that may pass.
        min_requests: requests gray must have served at the current weight before a step can pass.
        min_intervals: intervals with data at the current weight before a step can pass.
        warm_up: seconds after each change of the weight in which nothing but an outage counts.
        deadline: seconds a step may take after its warm-up; None for no end.
        deadline_follows: whether the deadline comes sooner where the traffic decides sooner, or never.
        on_inconclusive: what the release does when the deadline passes without an answer and nothing points
            to harm.
        on_suspicion: the same where something does.
        wander: how far the rate of one arm alone may drift for reasons other than the release, as the
            standard deviation of its logarithm; the judge `sequential` does not take such weather for a
            regression. 0 trusts every request to be independent of the others, which decides faster.
        memory: how long such a drift lasts at the most: its correlation from one interval to the next.
    """

    metrics: tuple[MetricPolicy, ...]
    alpha: float = 0.01
    min_requests: float = 50
    min_intervals: int = 3
    warm_up: float = 0.0
    deadline: float | None = None
    deadline_follows: bool = False
    on_inconclusive: OnUndecided = "promote"
    on_suspicion: OnUndecided = "hold"
    wander: float = 0.2
    memory: float = 0.95

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", tuple(self.metrics))
        names = [metric.name for metric in self.metrics]
        if not names:
            raise UsageError("expected at least one metric to judge by, found none")
        if len(set(names)) < len(names):
            raise UsageError(f"expected each metric once, found {', '.join(names)}")
        if not any(metric.critical for metric in self.metrics):
            raise UsageError("expected at least one critical metric, found none", fix="make one critical")
        for name, found in (("on-inconclusive", self.on_inconclusive), ("on-suspicion", self.on_suspicion)):
            if found not in ("rollback", "hold", "promote"):
                raise UsageError(f"expected {name} to be rollback, hold or promote, found {found!r}")
        for expected, found_number, holds in self._ranges():
            if not holds:
                raise UsageError(f"expected {expected}, found {found_number}")

    def _ranges(self) -> Iterator[tuple[str, float | None, bool]]:
        """What is expected of each number, what it is, and whether it is so."""
        yield "alpha between 0 and 0.5", self.alpha, 0 < self.alpha < 0.5
        yield "min-requests of 1 or more", self.min_requests, 1 <= self.min_requests < math.inf
        yield "min-intervals of 1 or more", self.min_intervals, self.min_intervals >= 1
        yield "a warm-up of 0 seconds or more", self.warm_up, 0 <= self.warm_up < math.inf
        in_time = self.deadline is None or 0 < self.deadline < math.inf
        yield "a deadline above 0 seconds", self.deadline, in_time
        yield "a wander of 0 or more", self.wander, 0 <= self.wander < math.inf
        yield "a memory of 0 or more, below 1", self.memory, 0 <= self.memory < 1

    def outcome(self, judgement: Judgement) -> OnUndecided:
        """What the release does when a deadline passed with this judgement."""
        return self.on_suspicion if judgement.suspicion else self.on_inconclusive


class Answer(StrEnum):
    """What a judge can say."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a judge says so, for one metric. A number that does not exist is None.

    Arguments:
        metric: its name.
        answer: for this metric alone.
        reason: one sentence with the numbers that decided.
        critical: whether it counts for the release.
        stable: share, seconds or value of stable over the release.
        gray: the same of gray.
        estimate: how many times stable's gray's is.
        low: lower end of the interval of the estimate.
        high: upper end.
        stable_requests: requests of stable that were seen.
        gray_requests: requests of gray that were seen.
        looks: intervals with data from both arms.
        against: e-value for gray being worse: what a fair bet of 1 on that has grown to.
        in_favour: the same for gray being good.
        needed: what `against` must reach.
        suspicion: what points to harm without proving it; empty if nothing does.
    """

    metric: str
    answer: Answer
    reason: str
    critical: bool = True
    stable: float | None = None
    gray: float | None = None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    stable_requests: float = 0.0
    gray_requests: float = 0.0
    looks: int = 0
    against: float | None = None
    in_favour: float | None = None
    needed: float | None = None
    suspicion: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's answer with its evidence.

    Arguments:
        answer: for the step that the last observation belongs to; `fail` holds for the whole release.
        reason: one sentence.
        evidence: one for each metric of the policy, in its order.
        gray_requests: requests gray had served when the answer was reached (so far, if inconclusive).
        seconds: from the first observation until the answer was reached (so far, if inconclusive).
        expired: the step's deadline passed without an answer: `on_inconclusive` or `on_suspicion` applies.
        suspicion: why nobody should go on without an answer: what points to harm, or that there is no data.
    """

    answer: Answer
    reason: str
    evidence: tuple[Evidence, ...]
    gray_requests: float = 0.0
    seconds: float = 0.0
    expired: bool = False
    suspicion: str = ""


def judge_policy(gray: Gray) -> JudgePolicy:
    """The policy of an environment's gray releases."""
    return JudgePolicy(
        metrics=tuple(_metric(metric) for metric in gray.metrics),
        alpha=gray.alpha,
        min_requests=gray.min_requests,
        min_intervals=gray.min_intervals,
        warm_up=gray.warm_up,
        deadline=gray.step_deadline,
        deadline_follows=gray.deadline is None,
        on_inconclusive=gray.on_inconclusive,
        on_suspicion=gray.on_suspicion or _on_suspicion(gray),
        wander=gray.wander,
        memory=gray.memory,
    )


def _on_suspicion(gray: Gray) -> OnUndecided:
    return "rollback" if gray.on_inconclusive == "rollback" else "hold"


def _metric(metric: Metric) -> MetricPolicy:
    return MetricPolicy(
        name=metric.name,
        kind=metric.kind,
        tolerance=metric.tolerance,
        margin=metric.margin,
        floor=metric.floor,
        threshold=metric.threshold,
        quantile=metric.quantile,
        minimum=metric.minimum,
        maximum=metric.maximum,
        higher_is=metric.higher_is,
        critical=metric.critical,
    )
