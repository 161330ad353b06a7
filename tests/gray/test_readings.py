"""From counts to the numbers that are compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipegraft.core.errors import UsageError
from pipegraft.gray.judgement import MetricPolicy
from pipegraft.gray.judging.readings import BadRequests, Draws, point, quantile
from pipegraft.gray.observation import ArmCounts, Histogram

BOUNDS = (0.1, 0.25, 0.5, 1.0)


def arm(*counts: float) -> ArmCounts:
    return ArmCounts(sum(counts), latency=Histogram(BOUNDS, counts))


def test_a_quantile_is_linear_within_its_bucket() -> None:
    histogram = Histogram(BOUNDS, (50, 40, 8, 1, 1))
    assert quantile(histogram, 0.25) == pytest.approx(0.05)
    assert quantile(histogram, 0.7) == pytest.approx(0.175)
    assert quantile(histogram, 0.99) == pytest.approx(1.0)
    assert quantile(histogram, 0.999) == 1.0, "beyond the last bound the last bound is all that is known"
    assert quantile(Histogram(BOUNDS, (0, 0, 0, 0, 0)), 0.5) is None


@given(st.lists(st.integers(0, 50), min_size=5, max_size=5), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_quantiles_rise_with_their_share(counts: list[int], one: float, other: float) -> None:
    histogram = Histogram(BOUNDS, tuple(counts))
    low, high = quantile(histogram, min(one, other)), quantile(histogram, max(one, other))
    assert (low is None) == (sum(counts) == 0)
    assert low is None or high is None or low <= high


def test_slow_means_beyond_the_bound_nearest_to_the_quantile_of_both_arms() -> None:
    bad = BadRequests(MetricPolicy("p99", "latency"))
    draws = bad.read(arm(900, 60, 30, 8, 2), arm(90, 5, 3, 1, 1))
    assert bad.bound == 0.5
    assert draws == Draws(1000, 10, 100, 2)
    bad = BadRequests(MetricPolicy("p90", "latency", quantile=0.9))
    assert bad.read(arm(900, 60, 30, 8, 2), arm(90, 5, 3, 1, 1)) == Draws(1000, 100, 100, 10)
    assert bad.bound == 0.1


@given(st.lists(st.integers(0, 30), min_size=10, max_size=10))
def test_the_bound_does_not_depend_on_which_arm_a_request_belongs_to(counts: list[int]) -> None:
    one, other = (BadRequests(MetricPolicy("p99", "latency")) for _ in range(2))
    stable, gray = arm(*counts[:5]), arm(*counts[5:])
    seen, mirrored = one.read(stable, gray), other.read(gray, stable)
    assert one.bound == other.bound
    assert (seen.stable_bad, seen.gray_bad) == (mirrored.gray_bad, mirrored.stable_bad)


def test_a_threshold_between_bounds_counts_from_the_next_one() -> None:
    bad = BadRequests(MetricPolicy("slow", "latency", threshold=0.3))
    assert bad.read(arm(900, 60, 30, 8, 2), arm(90, 5, 3, 1, 1)) == Draws(1000, 10, 100, 2)
    assert bad.bound == 0.5


def test_when_nothing_is_slow_no_request_is_bad() -> None:
    bad = BadRequests(MetricPolicy("p99", "latency"))
    assert bad.read(arm(100, 0, 0, 0, 0), arm(10, 0, 0, 0, 0)) == Draws(100, 0, 10, 0)


def test_points() -> None:
    assert point(MetricPolicy("errors"), ArmCounts(200, 3)) == 0.015
    assert point(MetricPolicy("errors"), ArmCounts(0, 0)) is None
    assert point(MetricPolicy("cpu", "value"), ArmCounts(value=0.7)) == 0.7
    assert point(MetricPolicy("p50", "latency", quantile=0.5), arm(50, 50, 0, 0, 0)) == pytest.approx(0.1)


@pytest.mark.parametrize("kind", ["errors", "latency", "value"])
def test_what_was_not_measured_is_a_usage_error(kind: str) -> None:
    metric = MetricPolicy("it", kind)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"metric 'it' is of kind {kind}: expected"):
        point(metric, ArmCounts(10))
