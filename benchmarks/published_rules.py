"""The rules of other controllers as they are published, to measure ours against.

`flagger_fails` is Flagger's (``runMetricChecks`` and ``advanceCanary`` in fluxcd/flagger, pkg/controller): a
check is one interval; it fails if any metric lies above its bound or has no data, failures add up.

`Shift` is the test inside Kayenta's (spinnaker/kayenta: ``MannWhitney.scala``,
``MannWhitneyClassifier.scala``): the confidence interval of the Mann-Whitney test, normal approximation with
tie and continuity correction, around the Hodges-Lehmann estimate. Gray is "High" if the lower end exceeds a
quarter of the estimate's size and gray's mean is at least stable's; Kayenta takes 98%.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf, sqrt
from statistics import NormalDist, fmean
from typing import Final

from pipegraft.gray.judgement import MetricPolicy
from pipegraft.gray.judging.readings import point
from pipegraft.gray.observation import Observation

__all__ = ["KAYENTA", "Shift", "flagger_fails"]

KAYENTA: Final = NormalDist().inv_cdf(0.99)
"""What a series' score must reach to be called high: both ends of the interval hold 98%."""

_CHECKS: Final = 5
"""Failed ones that take a release back."""

_EFFECT: Final = 0.25
"""Part of the estimate that the nearer end of its interval must exceed."""


def flagger_fails(
    metrics: Sequence[MetricPolicy], bounds: Mapping[str, float], observations: Sequence[Observation]
) -> bool:
    """Whether Flagger's rule takes a release back.

    Arguments:
        metrics: those that are checked.
        bounds: metric → its highest share, or quantile in seconds.
        observations: in order of time.
    """
    failed = 0
    for one in observations:
        found = [(metric.name, point(metric, one.gray[metric.name])) for metric in metrics]
        failed += any(value is None or value > bounds[name] for name, value in found)
    return failed >= _CHECKS


class Shift:
    """How far one series of values lies above another one; grows by one value of each at a time."""

    def __init__(self) -> None:
        self._stable: list[float] = []
        self._gray: list[float] = []
        self._differences: list[float] = []
        self._ties = 0.0
        self._counts: tuple[Counter[float], Counter[float]] = (Counter(), Counter())

    def add(self, stable: float, gray: float) -> None:
        """One more interval."""
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

    @property
    def _deviation(self) -> float:
        """Of the number of differences above 0 between like series, corrected for ties within each."""
        size = 2 * len(self._gray)
        if not size:
            return 0.0
        variance = len(self._differences) / 12 * (size + 1 - self._ties / (size * (size - 1)))
        return sqrt(max(variance, 0.0))
