"""What was observed of a gray release, interval by interval.

*Stable* is the version that serves now, *gray* the one that is being released; each is an *arm*.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import TypeVar

from pipegraft.core.errors import UsageError

__all__ = ["ArmCounts", "Histogram", "Observation", "increase", "part_of", "total"]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Latencies of one arm in one interval, counted in buckets.

    Arguments:
        bounds: upper bounds in seconds, rising, finite, inclusive: bucket i holds the requests that took
            longer than ``bounds[i - 1]`` and at most ``bounds[i]``.
        counts: requests in each bucket (not cumulative); one more than bounds, the last for those
            that took longer than the last bound. Fractions are allowed: sources extrapolate.
    """

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "bounds", tuple(self.bounds))
        object.__setattr__(self, "counts", tuple(self.counts))
        if not self.bounds or not all(math.isfinite(bound) for bound in self.bounds):
            raise UsageError(f"expected one or more finite bounds in seconds, found {list(self.bounds)}")
        if any(low >= high for low, high in pairwise(self.bounds)):
            raise UsageError(f"expected histogram bounds that rise, found {list(self.bounds)}")
        if len(self.counts) != len(self.bounds) + 1:
            raise UsageError(
                f"expected {len(self.bounds) + 1} counts for {len(self.bounds)} bounds "
                f"(the last for what is slower than all), found {len(self.counts)}"
            )
        for count in self.counts:
            _require_count("a histogram count", count)

    @classmethod
    def from_cumulative(cls, bounds: Sequence[float], cumulative: Sequence[float]) -> Histogram:
        """From counts of requests that took at most each bound, as Prometheus has them.

        Arguments:
            bounds: upper bounds in seconds, rising, the last one infinite (``le="+Inf"``).
            cumulative: as many counts, not falling. Tiny falls, which extrapolation leaves, become 0.

        Raises:
            UsageError: the last bound is not infinite, or the numbers do not match.
        """
        if not bounds or bounds[-1] != math.inf or len(bounds) != len(cumulative):
            raise UsageError(
                f"expected as many cumulative counts as bounds, the last bound +Inf; "
                f"found {len(cumulative)} counts and bounds {list(bounds)}"
            )
        steps = [high - low for low, high in pairwise((0.0, *cumulative))]
        slack = 1e-6 * max(1.0, cumulative[-1])
        return cls(tuple(bounds[:-1]), tuple(0.0 if -slack <= step < 0 else step for step in steps))

    @property
    def total(self) -> float:
        """All requests in it."""
        return sum(self.counts)

    def slower_than(self, bound: float) -> float:
        """Requests that took longer than `bound`, which should be one of the bounds.

        A bound between two of them counts from the next higher one: a bucket is never split.
        """
        return sum(self.counts[bisect_left(self.bounds, bound) + 1 :])

    def plus(self, other: Histogram) -> Histogram:
        """Both together.

        Raises:
            UsageError: the bounds differ.
        """
        if self.bounds != other.bounds:
            raise UsageError(
                f"expected the same histogram bounds in both arms and in every interval, "
                f"found {list(self.bounds)} and {list(other.bounds)}",
                fix="let stable and gray export the same buckets",
            )
        return Histogram(
            self.bounds, tuple(mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True))
        )


@dataclass(frozen=True, slots=True)
class ArmCounts:
    """What one arm showed for one metric in one interval.

    A metric without data has no `ArmCounts` at all; zero requests that were seen are `requests=0`.

    Arguments:
        requests: requests served, for errors and latency. Fractions are allowed: sources extrapolate.
        errors: how many of them failed; None if this metric does not count errors.
        latency: how long they took; None if this metric does not measure it.
        value: a plain number for the interval (cpu, queue length, orders); None if the metric is none.
    """

    requests: float = 0.0
    errors: float | None = None
    latency: Histogram | None = None
    value: float | None = None

    def __post_init__(self) -> None:
        _require_count("requests", self.requests)
        if self.errors is not None:
            _require_count("errors", self.errors)
            if self.errors > self.requests * (1 + 1e-9):
                raise UsageError(f"expected at most {self.requests:g} errors, found {self.errors:g}")
        if self.value is not None and not math.isfinite(self.value):
            raise UsageError(f"expected a finite value, found {self.value}")


@dataclass(frozen=True, slots=True)
class Observation:
    """One interval of a gray release, both arms.

    Arguments:
        start: seconds, on the caller's clock.
        end: seconds; after start.
        weight: percent of the traffic that was meant for gray while it lasted.
        stable: metric name → what stable showed; a metric without data is absent.
        gray: metric name → what gray showed; a metric without data is absent.
        fresh: whether what `stable` shows is of fresh pods that get the same weight as gray.
        serving: what the pods that serve showed, where `stable` is of fresh ones.
    """

    start: float
    end: float
    weight: float
    stable: Mapping[str, ArmCounts] = field(default_factory=dict)
    gray: Mapping[str, ArmCounts] = field(default_factory=dict)
    fresh: bool = False
    serving: Mapping[str, ArmCounts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and math.isfinite(self.end) and self.start < self.end):
            raise UsageError(
                f"expected an interval that ends after it starts, found {self.start} to {self.end}"
            )
        if not 0 <= self.weight <= 100:
            raise UsageError(f"expected a weight between 0 and 100 percent, found {self.weight}")
        object.__setattr__(self, "stable", MappingProxyType(dict(self.stable)))
        object.__setattr__(self, "gray", MappingProxyType(dict(self.gray)))

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.end - self.start

    @property
    def share(self) -> float:
        """Gray's part of the requests that both arms are meant to get."""
        return 0.5 if self.fresh else self.weight / 100

    def pair(self, metric: str) -> tuple[ArmCounts, ArmCounts] | None:
        """Stable and gray of one metric, or None unless both arms have data."""
        stable, gray = self.stable.get(metric), self.gray.get(metric)
        return None if stable is None or gray is None else (stable, gray)


def _require_count(what: str, count: float) -> None:
    if not 0 <= count < math.inf:
        raise UsageError(f"expected {what} to be a number of 0 or more, found {count}")


K = TypeVar("K", bound=Hashable)


def increase(before: Mapping[K, float], after: Mapping[K, float]) -> dict[K, float]:
    """How much each counter rose between two readings.

    A counter that fell was reset: it has counted what it shows now. One that is new began at 0. One that
    is gone shows nothing. These are the rules of Prometheus' ``increase``, without its extrapolation.

    Arguments:
        before: series → value, at the earlier time.
        after: series → value, at the later time.
    """
    return {
        series: value - before.get(series, 0.0) if value >= before.get(series, 0.0) else value
        for series, value in after.items()
    }


def total(observations: Sequence[Observation]) -> Observation:
    """Several intervals of one weight as one."""
    first, last = observations[0], observations[-1]
    return Observation(
        first.start,
        last.end,
        last.weight,
        _sum(observation.stable for observation in observations),
        _sum(observation.gray for observation in observations),
        last.fresh,
        _sum(observation.serving for observation in observations),
    )


def _sum(arms: Iterable[Mapping[str, ArmCounts]]) -> dict[str, ArmCounts]:
    found: dict[str, ArmCounts] = {}
    for arm in arms:
        for metric, counts in arm.items():
            found[metric] = _add(found[metric], counts) if metric in found else counts
    return found


def _add(one: ArmCounts, other: ArmCounts) -> ArmCounts:
    """Two intervals of one metric as one; of plain values the later one."""
    return ArmCounts(
        one.requests + other.requests,
        None if one.errors is None or other.errors is None else one.errors + other.errors,
        None if one.latency is None or other.latency is None else one.latency.plus(other.latency),
        other.value,
    )


def part_of(counts: ArmCounts, part: float) -> ArmCounts:
    """A share of what was counted; a plain value stays."""
    latency = counts.latency
    return ArmCounts(
        counts.requests * part,
        None if counts.errors is None else counts.errors * part,
        None if latency is None else Histogram(latency.bounds, tuple(part * one for one in latency.counts)),
        counts.value,
    )
