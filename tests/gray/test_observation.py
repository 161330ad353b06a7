"""Observations refuse what cannot have been observed, and add up what was."""

from __future__ import annotations

import math

import pytest

from pipegraft.core.errors import UsageError
from pipegraft.gray.judgement import JudgePolicy, MetricPolicy
from pipegraft.gray.observation import ArmCounts, Histogram, Observation


def test_a_histogram_counts_what_is_slower_than_a_bound() -> None:
    histogram = Histogram((0.1, 0.5, 1.0), (90, 6, 3, 1))
    assert histogram.total == 100
    assert [histogram.slower_than(bound) for bound in (0.1, 0.5, 1.0)] == [10, 4, 1]
    assert histogram.slower_than(0.3) == 4, "a bucket is never split: 0.3 counts from 0.5"
    assert histogram.slower_than(5.0) == 0


def test_prometheus_counts_are_cumulative() -> None:
    histogram = Histogram.from_cumulative((0.1, 0.5, math.inf), (90.5, 96.0, 100.0))
    assert histogram == Histogram((0.1, 0.5), (90.5, 5.5, 4.0))


def test_a_fall_left_by_extrapolation_is_forgiven_and_a_real_one_is_not() -> None:
    assert Histogram.from_cumulative((0.1, math.inf), (100.0, 100.0 - 1e-9)).counts == (100.0, 0.0)
    with pytest.raises(UsageError, match="0 or more"):
        Histogram.from_cumulative((0.1, math.inf), (100.0, 90.0))


def test_histograms_with_the_same_bounds_add_up() -> None:
    one = Histogram((0.1, 0.5), (1, 2, 3))
    assert one.plus(Histogram((0.1, 0.5), (10, 20, 30))).counts == (11, 22, 33)
    with pytest.raises(UsageError, match="same histogram bounds"):
        one.plus(Histogram((0.1, 0.4), (10, 20, 30)))


def test_no_data_is_not_zero() -> None:
    seen = Observation(0, 60, 5, {"errors": ArmCounts(100, 0)}, {"errors": ArmCounts(5, 0)})
    unseen = Observation(0, 60, 5, {"errors": ArmCounts(100, 0)}, {})
    assert seen.pair("errors") == (ArmCounts(100, 0), ArmCounts(5, 0))
    assert unseen.pair("errors") is None
    assert seen != unseen


def test_an_observation_does_not_change_with_what_it_was_made_from() -> None:
    stable = {"errors": ArmCounts(100, 0)}
    observation = Observation(0, 60, 5, stable)
    stable.clear()
    assert observation.stable == {"errors": ArmCounts(100, 0)}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Histogram((), (1,)), "finite bounds"),
        (lambda: Histogram((math.inf,), (1, 2)), "finite bounds"),
        (lambda: Histogram((0.5, 0.1), (1, 2, 3)), "bounds that rise"),
        (lambda: Histogram((0.1, 0.5), (1, 2)), "expected 3 counts for 2 bounds"),
        (lambda: Histogram((0.1,), (1, math.nan)), "found nan"),
        (lambda: Histogram.from_cumulative((0.1, 0.5), (1, 2)), "last bound [+]Inf"),
        (lambda: ArmCounts(-1), "requests to be a number of 0 or more, found -1"),
        (lambda: ArmCounts(10, 11), "at most 10 errors, found 11"),
        (lambda: ArmCounts(10, -1), "errors to be a number of 0 or more, found -1"),
        (lambda: ArmCounts(value=math.inf), "finite value"),
        (lambda: Observation(60, 60, 5), "ends after it starts"),
        (lambda: Observation(0, 60, 101), "between 0 and 100 percent"),
        (lambda: MetricPolicy(""), "name for the metric"),
        (lambda: MetricPolicy("p99", kind="speed"), "kind of errors, latency or value, found 'speed'"),
        (lambda: MetricPolicy("e", tolerance=-0.1), "metric 'e': expected a tolerance of 0 or more"),
        (lambda: MetricPolicy("e", tolerance=0.5, margin=0.4), "margin of at least the tolerance"),
        (lambda: MetricPolicy("e", floor=-1), "floor from 0 to below 1"),
        (lambda: MetricPolicy("e", threshold=0), "threshold in seconds"),
        (lambda: MetricPolicy("e", quantile=1), "quantile between 0 and 1"),
        (lambda: MetricPolicy("e", minimum=2, maximum=1), "minimum of at most the maximum"),
        (lambda: MetricPolicy("e", higher_is="fun"), "higher-is to be worse or better"),
        (lambda: JudgePolicy(()), "at least one metric"),
        (lambda: JudgePolicy((MetricPolicy("a"), MetricPolicy("a"))), "each metric once"),
        (lambda: JudgePolicy((MetricPolicy("a", critical=False),)), "at least one critical"),
        (lambda: JudgePolicy((MetricPolicy("a"),), alpha=0.5), "alpha between 0 and 0.5"),
        (lambda: JudgePolicy((MetricPolicy("a"),), min_requests=0), "min-requests of 1 or more"),
        (lambda: JudgePolicy((MetricPolicy("a"),), deadline=0), "deadline above 0"),
        (lambda: JudgePolicy((MetricPolicy("a"),), on_inconclusive="shrug"), "found 'shrug'"),
        (lambda: JudgePolicy((MetricPolicy("a"),), wander=-1), "wander of 0 or more"),
    ],
)
def test_what_cannot_be_is_refused_with_what_was_expected(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(UsageError, match=message):
        make()
