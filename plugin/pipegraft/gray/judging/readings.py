"""From what a source measured to the numbers that judges compare."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log, sqrt

from pipegraft.core.errors import UsageError
from pipegraft.gray.judgement import MetricPolicy
from pipegraft.gray.judging.arithmetic import Number
from pipegraft.gray.observation import ArmCounts, Histogram

__all__ = ["BadRequests", "Draws", "point", "quantile", "wilson"]


@dataclass(frozen=True, slots=True)
class Draws:
    """Requests and bad ones (errors, or slow ones) of both arms in one interval."""

    stable: Number
    stable_bad: Number
    gray: Number
    gray_bad: Number

    def times(self, part: Number) -> Draws:
        """A part of everything."""
        return Draws(self.stable * part, self.stable_bad * part, self.gray * part, self.gray_bad * part)


class BadRequests:
    """Counts a metric's bad requests, interval after interval.

    Without a threshold, slow means slower than the bucket bound that lies closest to the quantile of all
    requests of both arms so far. Which arm a request belongs to has no part in that choice, so it favours
    neither: if both are equally fast, each slow request is still a fair draw.

    Arguments:
        metric: of kind `errors` or `latency`.
    """

    def __init__(self, metric: MetricPolicy) -> None:
        self._metric = metric
        self._pooled: Histogram | None = None
        self.bound: float | None = None
        """For latency: slower than this many seconds is slow."""

    def read(self, stable: ArmCounts, gray: ArmCounts) -> Draws:
        """Count one interval.

        Raises:
            UsageError: the source measured something else.
        """
        if self._metric.kind == "errors":
            if stable.errors is None or gray.errors is None:
                raise _lacks(self._metric, "errors")
            return Draws(stable.requests, stable.errors, gray.requests, gray.errors)
        if stable.latency is None or gray.latency is None:
            raise _lacks(self._metric, "a latency histogram")
        both = stable.latency.plus(gray.latency)
        self._pooled = both if self._pooled is None else self._pooled.plus(both)
        bound = self._metric.threshold or _bound_near(self._pooled, self._metric.quantile)
        if bound is None:
            return Draws(stable.latency.total, 0.0, gray.latency.total, 0.0)
        self.bound = next((known for known in both.bounds if known >= bound), bound)
        return Draws(
            stable.latency.total,
            stable.latency.slower_than(bound),
            gray.latency.total,
            gray.latency.slower_than(bound),
        )


def _bound_near(histogram: Histogram, share: float) -> float | None:
    """The bound whose share of slower requests is closest, in proportion, to ``1 - share``."""
    best, distance = None, inf
    slower = histogram.total
    for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
        slower -= count
        if slower > 1e-9 * histogram.total:
            off = abs(log(slower / histogram.total / (1.0 - share)))
            if off < distance:
                best, distance = bound, off
    return best


def point(metric: MetricPolicy, arm: ArmCounts) -> float | None:
    """The single number of one arm in one interval: share of errors, latency quantile, or the value.

    Returns:
        None if no request was seen.

    Raises:
        UsageError: the source measured something else.
    """
    if metric.kind == "value":
        if arm.value is None:
            raise _lacks(metric, "a value")
        return arm.value
    if metric.kind == "errors":
        if arm.errors is None:
            raise _lacks(metric, "errors")
        return arm.errors / arm.requests if arm.requests else None
    if arm.latency is None:
        raise _lacks(metric, "a latency histogram")
    return quantile(arm.latency, metric.quantile)


def quantile(histogram: Histogram, share: float) -> float | None:
    """A quantile in seconds, linear within its bucket, as ``histogram_quantile`` of Prometheus.

    Returns:
        None if the histogram is empty; the last bound if the quantile lies beyond it.
    """
    rank = share * histogram.total
    if not histogram.total:
        return None
    below, start = 0.0, 0.0
    for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
        if count and below + count >= rank:
            return start + (bound - start) * max(0.0, rank - below) / count
        below += count
        start = bound
    return histogram.bounds[-1]


def wilson(bad: float, requests: float) -> tuple[float, float]:
    """The 95% interval of a share (Wilson, JASA 22, 1927)."""
    z = 1.96
    share, wide = bad / requests, 1.0 + z * z / requests
    middle = share + z * z / (2.0 * requests)
    half = z * sqrt(share * (1.0 - share) / requests + z * z / (4.0 * requests * requests))
    return max(0.0, (middle - half) / wide), min(1.0, (middle + half) / wide)


def _lacks(metric: MetricPolicy, what: str) -> UsageError:
    return UsageError(
        f"metric '{metric.name}' is of kind {metric.kind}: expected {what} of stable and gray, found none",
        fix="correct the metric's kind, or what its source measures",
    )
