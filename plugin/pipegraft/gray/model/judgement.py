"""How a gray release is judged, and what a judge answers.

*Stable* is the version that serves now, *gray* the one that is being released.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pipegraft.core.errors import UsageError

__all__ = ["Answer", "Evidence", "JudgePolicy", "Judgement", "MetricKind", "MetricPolicy"]

MetricKind = Literal["errors", "latency", "value"]
"""`errors`: share of failed requests; `latency`: share of slow requests; `value`: one number an interval."""


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
            whatever stable's is. Without it, versions that never fail could not be told apart, nor pass.
        threshold: for latency: a request slower than this many seconds is slow. None takes the bucket
            bound that lies closest to the quantile of the traffic of both arms.
        quantile: for latency without a threshold.
        minimum: for the judge `threshold`: gray's share, quantile or value may not be lower.
        maximum: for the judge `threshold`: gray's share, quantile in seconds or value may not be higher.
        higher_is: for values: which direction is bad.
        critical: a critical metric takes the release back and must be shown good; another one that is
            worse only keeps the release from advancing by itself.
    """

    name: str
    kind: MetricKind = "errors"
    tolerance: float = 0.1
    margin: float = 1.0
    floor: float = 0.01
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
        if not 0 <= self.floor < math.inf:
            raise self._wrong("a floor of 0 or more", self.floor)
        if self.threshold is not None and not 0 < self.threshold < math.inf:
            raise self._wrong("a threshold in seconds above 0", self.threshold)
        if not 0 < self.quantile < 1:
            raise self._wrong("a quantile between 0 and 1", self.quantile)
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise self._wrong(f"a minimum of at most the maximum, {self.maximum}", self.minimum)

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
        deadline: seconds a step may take from its first observation; None for no end.
        on_inconclusive: what the release does when the deadline passes without an answer.
        wander: how far the rate of one arm alone may drift for reasons other than the release, as the
            standard deviation of its logarithm; the judge `sequential` does not take such weather for a
            regression. 0 trusts every request to be independent of the others, which decides faster.
        max_failures: for the judge `threshold`: failed intervals that take the release back.
    """

    metrics: tuple[MetricPolicy, ...]
    alpha: float = 0.01
    min_requests: float = 50
    deadline: float | None = None
    on_inconclusive: Literal["rollback", "hold", "promote"] = "rollback"
    wander: float = 0.2
    max_failures: int = 5

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", tuple(self.metrics))
        names = [metric.name for metric in self.metrics]
        if not names:
            raise UsageError("expected at least one metric to judge by, found none")
        if len(set(names)) < len(names):
            raise UsageError(f"expected each metric once, found {', '.join(names)}")
        if not any(metric.critical for metric in self.metrics):
            raise UsageError("expected at least one critical metric, found none", fix="make one critical")
        if not 0 < self.alpha < 0.5:
            raise UsageError(f"expected alpha between 0 and 0.5, found {self.alpha}")
        if not 1 <= self.min_requests < math.inf:
            raise UsageError(f"expected min-requests of 1 or more, found {self.min_requests}")
        if self.deadline is not None and not 0 < self.deadline < math.inf:
            raise UsageError(f"expected a deadline above 0 seconds, found {self.deadline}")
        if self.on_inconclusive not in ("rollback", "hold", "promote"):
            raise UsageError(
                f"expected on-inconclusive to be rollback, hold or promote, found {self.on_inconclusive!r}"
            )
        if not 0 <= self.wander < math.inf:
            raise UsageError(f"expected a wander of 0 or more, found {self.wander}")
        if self.max_failures < 1:
            raise UsageError(f"expected max-failures of 1 or more, found {self.max_failures}")


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
        estimate: how many times stable's gray's is; for the judge `mann-whitney` the Hodges-Lehmann shift.
        low: lower end of the interval of the estimate.
        high: upper end.
        stable_requests: requests of stable that were seen.
        gray_requests: requests of gray that were seen.
        looks: intervals with data from both arms.
        against: e-value for gray being worse: what a fair bet of 1 on that has grown to.
        in_favour: the same for gray being good.
        needed: what `against` must reach.
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


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's answer with its evidence.

    Arguments:
        answer: for the step that the last observation belongs to; `fail` holds for the whole release.
        reason: one sentence.
        evidence: one for each metric of the policy, in its order.
        gray_requests: requests gray had served when the answer was reached (so far, if inconclusive).
        seconds: from the first observation until the answer was reached (so far, if inconclusive).
        expired: the step's deadline passed without an answer: `on_inconclusive` applies.
    """

    answer: Answer
    reason: str
    evidence: tuple[Evidence, ...]
    gray_requests: float = 0.0
    seconds: float = 0.0
    expired: bool = False
