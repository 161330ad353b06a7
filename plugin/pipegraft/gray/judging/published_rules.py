"""The rules of other controllers as they are published, to compare with and for teams that come from there.

`threshold` is Flagger's (``runMetricChecks`` and ``advanceCanary`` in fluxcd/flagger, pkg/controller): a
check is one interval; it fails if any metric lies outside its bounds or has no data. Failures add up and are
never forgotten; enough of them take the release back. The rule knows neither how many requests are behind a
number nor how often it looks.

`MannWhitneyJudge` is Kayenta's (spinnaker/kayenta: ``MannWhitney.scala``, ``MannWhitneyClassifier.scala``,
``NetflixACAJudge.scala``): rank tests on the series of interval values, judged again on a growing window. The
confidence interval of the Mann-Whitney test at 98%, normal approximation with tie and continuity correction,
lies around the Hodges-Lehmann estimate of the shift. Gray is "High" if the lower end exceeds a quarter of the
estimate's size and gray's mean is at least stable's. A critical metric that is not a pass fails the release.
The test takes the intervals for independent draws, and each look for the only one; neither is so.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, inf, sqrt
from statistics import NormalDist, fmean
from typing import Final

from pipegraft.core.errors import UsageError
from pipegraft.core.plugins import hookimpl
from pipegraft.gray.hooks import JudgePlugin
from pipegraft.gray.judging.readings import point
from pipegraft.gray.judging.sequential import (
    conclude,
    missing_requests,
    nothing_yet,
    requests_seen,
    sequential,
)
from pipegraft.gray.model.judgement import Answer, Evidence, Judgement, JudgePolicy, MetricPolicy
from pipegraft.gray.model.observation import Observation

__all__ = ["MannWhitneyJudge", "Shift", "pipegraft_judges", "threshold"]


def threshold(policy: JudgePolicy, observations: Sequence[Observation]) -> Judgement:
    """Judge each interval by `minimum` and `maximum` of every metric, on gray alone.

    Raises:
        UsageError: a metric has neither bound.
    """
    for metric in policy.metrics:
        if metric.minimum is None and metric.maximum is None:
            raise UsageError(
                f"metric '{metric.name}': judge threshold expected a minimum or a maximum, found neither",
                fix="give it one, or use the judge sequential",
            )
    if not observations:
        return nothing_yet(policy)
    failures = seen = 0
    for observation in observations:
        seen += 1
        failures += any(metric.critical and _complaint(metric, observation) for metric in policy.metrics)
        if failures >= policy.max_failures:
            break
    so_far = observations[:seen]
    count = f"{failures} of {policy.max_failures} failed checks that take the release back"
    gone = failures >= policy.max_failures
    return conclude(
        policy, so_far, [_evidence(metric, policy, so_far, count, gone=gone) for metric in policy.metrics]
    )


def _complaint(metric: MetricPolicy, observation: Observation) -> str:
    arm = observation.gray.get(metric.name)
    found = point(metric, arm) if arm else None
    if found is None:
        return "gray shows no data"
    if metric.minimum is not None and found < metric.minimum:
        return f"{found:.4g} of gray is below the minimum {metric.minimum:g}"
    if metric.maximum is not None and found > metric.maximum:
        return f"{found:.4g} of gray is above the maximum {metric.maximum:g}"
    return ""


def _evidence(
    metric: MetricPolicy, policy: JudgePolicy, observations: Sequence[Observation], count: str, *, gone: bool
) -> Evidence:
    complaint = _complaint(metric, observations[-1])
    stable, gray = observations[-1].stable.get(metric.name), observations[-1].gray.get(metric.name)
    level = point(metric, gray) if gray else None
    missing = missing_requests(metric, policy, observations)
    if complaint:
        answer, reason = Answer.FAIL if gone else Answer.INCONCLUSIVE, f"{complaint}; {count}"
    elif missing:
        answer, reason = Answer.INCONCLUSIVE, f"not yet: {missing}"
    else:
        answer, reason = Answer.PASS, f"{level:.4g} of gray lies within its bounds; {count}"
    stable_requests, gray_requests, looks = requests_seen(metric.name, observations)
    return Evidence(
        metric=metric.name,
        answer=answer,
        reason=reason,
        critical=metric.critical,
        stable=point(metric, stable) if stable else None,
        gray=level,
        stable_requests=stable_requests,
        gray_requests=gray_requests,
        looks=looks,
    )


_EFFECT: Final = 0.25
"""Part of the estimate that the nearer end of its interval must exceed."""


@dataclass(frozen=True, slots=True)
class MannWhitneyJudge:
    """The judge.

    Arguments:
        confidence: of the interval.
    """

    confidence: float = 0.98

    @property
    def quantile(self) -> float:
        """What a series' score must reach to be called high."""
        return NormalDist().inv_cdf((1 + self.confidence) / 2)

    def __call__(self, policy: JudgePolicy, observations: Sequence[Observation]) -> Judgement:
        """Judge after each observation by all up to it; the first failure holds."""
        if not observations:
            return nothing_yet(policy)
        series = [(metric, Shift(1 if metric.higher_is == "worse" else -1)) for metric in policy.metrics]
        seen = 0
        for observation in observations:
            seen += 1
            for metric, shift in series:
                _see(metric, shift, observation)
            if any(metric.critical and shift.score >= self.quantile for metric, shift in series):
                break
        so_far = observations[:seen]
        return conclude(policy, so_far, [self._evidence(*one, policy, so_far) for one in series])

    def _evidence(
        self, metric: MetricPolicy, shift: Shift, policy: JudgePolicy, observations: Sequence[Observation]
    ) -> Evidence:
        low, high = shift.interval(self.confidence)
        missing = missing_requests(metric, policy, observations)
        ends = "" if low is None or high is None else f" ({low:.3g} to {high:.3g})"
        seen = f"shift {shift.estimate:.3g}{ends} in {shift.looks} intervals" if shift.looks else "no data"
        if shift.score >= self.quantile:
            answer, reason = Answer.FAIL, f"high: {seen}"
        elif missing:
            answer, reason = Answer.INCONCLUSIVE, f"not yet: {missing}"
        elif low is None and not shift.constant:
            answer, reason = Answer.INCONCLUSIVE, f"too few intervals for {self.confidence:.0%}: {seen}"
        else:
            answer, reason = Answer.PASS, f"not high: {seen}"
        stable_requests, gray_requests, _ = requests_seen(metric.name, observations)
        stable, gray = shift.means
        return Evidence(
            metric=metric.name,
            answer=answer,
            reason=reason,
            critical=metric.critical,
            stable=stable,
            gray=gray,
            estimate=shift.estimate,
            low=low,
            high=high,
            stable_requests=stable_requests,
            gray_requests=gray_requests,
            looks=shift.looks,
        )


class Shift:
    """How far one series of values lies above another one; grows by one value of each at a time.

    Arguments:
        sign: -1 if higher is better.
    """

    def __init__(self, sign: int = 1) -> None:
        self._sign = sign
        self._stable: list[float] = []
        self._gray: list[float] = []
        self._differences: list[float] = []
        self._ties = 0.0
        self._counts: tuple[Counter[float], Counter[float]] = (Counter(), Counter())

    def add(self, stable: float, gray: float) -> None:
        """One more interval."""
        stable, gray = self._sign * stable, self._sign * gray
        for other in self._gray:
            insort(self._differences, other - stable)
        self._stable.append(stable)
        self._gray.append(gray)
        for other in self._stable:
            insort(self._differences, gray - other)
        for value, counts in zip((stable, gray), self._counts, strict=True):
            counts[value] += 1
            self._ties += 3 * counts[value] * (counts[value] - 1)  # t³ - t grows by this with each one more

    @property
    def looks(self) -> int:
        """Intervals taken in."""
        return len(self._gray)

    @property
    def constant(self) -> bool:
        """Whether there is only one value, always the same, in both series."""
        return len(self._counts[0] | self._counts[1]) == 1

    @property
    def means(self) -> tuple[float | None, float | None]:
        """Of stable and gray."""
        if not self.looks:
            return None, None
        return self._sign * fmean(self._stable), self._sign * fmean(self._gray)

    @property
    def estimate(self) -> float | None:
        """The Hodges-Lehmann shift: median of all differences between the two series."""
        middle, odd = divmod(len(self._differences), 2)
        if not self._differences:
            return None
        return fmean(self._differences[middle - 1 + odd : middle + 1])

    @property
    def score(self) -> float:
        """The test statistic, in standard deviations, for a shift of a quarter of the estimate.

        The lower end of an interval exceeds that shift if the score reaches the interval's quantile. Minus
        infinity if gray's mean is below stable's: Kayenta's smallest effect is a ratio of 1.
        """
        estimate, deviation = self.estimate, self._deviation
        if estimate is None or not deviation or sum(self._gray) < sum(self._stable):
            return -inf
        above = len(self._differences) - bisect_right(self._differences, _EFFECT * abs(estimate))
        return (above - len(self._differences) / 2 - 0.5) / deviation

    def interval(self, confidence: float) -> tuple[float | None, float | None]:
        """Ends of the shift's interval: the differences at which the test statistic reaches its quantile.

        Returns:
            None for both if there are too few values, or nothing but ties, for this confidence.
        """
        quantile = NormalDist().inv_cdf((1 + confidence) / 2)
        pairs = len(self._differences)
        needed = ceil(pairs / 2 + 0.5 + quantile * self._deviation)
        if not self._deviation or needed > pairs:
            return None, None
        return self._differences[-needed], self._differences[needed - 1]

    @property
    def _deviation(self) -> float:
        """Of the number of differences above 0 between like series, corrected for ties within each."""
        size = 2 * self.looks
        if not size:
            return 0.0
        variance = len(self._differences) / 12 * (size + 1 - self._ties / (size * (size - 1)))
        return sqrt(max(variance, 0.0))


def _see(metric: MetricPolicy, shift: Shift, observation: Observation) -> None:
    pair = observation.pair(metric.name)
    if pair:
        stable, gray = (point(metric, arm) for arm in pair)
        if stable is not None and gray is not None:
            shift.add(stable, gray)


@hookimpl
def pipegraft_judges() -> Iterator[JudgePlugin]:
    """The default, `sequential`, first."""
    yield JudgePlugin("sequential", "Bets that stay valid however often one looks.", sequential)
    yield JudgePlugin("threshold", "Point estimates against bounds; failures add up.", threshold)
    yield JudgePlugin("mann-whitney", "Rank test on interval values, 98% interval.", MannWhitneyJudge())
