"""Flagger's rule: bounds on gray's point estimates, failures that add up."""

from __future__ import annotations

import pytest

from pipegraft.core.errors import UsageError
from pipegraft.gray.judging.published_rules import threshold
from pipegraft.gray.model.judgement import Answer, JudgePolicy, MetricPolicy
from pipegraft.gray.model.observation import ArmCounts, Histogram, Observation

POLICY = JudgePolicy((MetricPolicy("errors", maximum=0.01),), max_failures=3, min_intervals=1)


def interval(number: int, gray: ArmCounts | None, weight: float = 5) -> Observation:
    arms = {} if gray is None else {"errors": gray}
    return Observation(60 * number, 60 * number + 60, weight, {"errors": ArmCounts(1000, 10)}, arms)


def release(*errors: int | None) -> list[Observation]:
    return [
        interval(number, None if one is None else ArmCounts(100, one)) for number, one in enumerate(errors)
    ]


@pytest.mark.parametrize(
    ("errors", "answer", "reason"),
    [
        ([0], Answer.PASS, "errors: 0 of gray lies within its bounds; 0 of 3"),
        ([1], Answer.PASS, "errors: 0.01 of gray lies within its bounds; 0 of 3"),
        ([2], Answer.INCONCLUSIVE, "errors: 0.02 of gray is above the maximum 0.01; 1 of 3"),
        ([None], Answer.INCONCLUSIVE, "errors: gray shows no data; 1 of 3"),
        ([2, 0, 0, 2, 0], Answer.PASS, "errors: 0 of gray lies within its bounds; 2 of 3"),
        ([2, 0, 0, 2, 0, 2], Answer.FAIL, "errors: 0.02 of gray is above the maximum 0.01; 3 of 3"),
        ([2, 2, 2, 0, 0, 0], Answer.FAIL, "errors: 0.02 of gray is above the maximum 0.01; 3 of 3"),
        ([None, None, None], Answer.FAIL, "errors: gray shows no data; 3 of 3"),
        ([], Answer.INCONCLUSIVE, "nothing was observed yet"),
    ],
)
def test_failures_add_up_and_a_good_check_passes(
    errors: list[int | None], answer: Answer, reason: str
) -> None:
    judgement = threshold(POLICY, release(*errors))
    assert judgement.answer is answer
    assert judgement.reason.startswith(reason)


def test_a_step_needs_the_minimum_of_requests_here_too() -> None:
    judgement = threshold(POLICY, [interval(0, ArmCounts(20, 0))])
    assert judgement.answer is Answer.INCONCLUSIVE
    assert "gray served 20 of 50 requests" in judgement.reason


def test_a_metric_that_is_not_critical_counts_no_failure() -> None:
    policy = JudgePolicy(
        (MetricPolicy("errors", maximum=0.01), MetricPolicy("late", minimum=0.5, critical=False)),
        max_failures=1,
        min_intervals=1,
    )
    arms = {"errors": ArmCounts(100, 0), "late": ArmCounts(100, 0)}
    assert threshold(policy, [Observation(0, 60, 5, arms, arms)]).answer is Answer.PASS


def test_latency_is_bounded_in_seconds_at_its_quantile() -> None:
    policy = JudgePolicy(
        (MetricPolicy("p90", "latency", quantile=0.9, maximum=0.4),), max_failures=1, min_intervals=1
    )

    def slow(share: int) -> list[Observation]:
        arm = {"p90": ArmCounts(100, latency=Histogram((0.1, 0.5), (100 - share, share, 0)))}
        return [Observation(0, 60, 5, arm, arm)]

    assert threshold(policy, slow(5)).answer is Answer.PASS
    assert threshold(policy, slow(90)).answer is Answer.FAIL


def test_a_metric_without_bounds_cannot_be_judged_so() -> None:
    with pytest.raises(UsageError, match="'errors': judge threshold expected a minimum or a maximum"):
        threshold(JudgePolicy((MetricPolicy("errors"),)), [])
