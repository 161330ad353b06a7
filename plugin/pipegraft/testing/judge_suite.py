"""What every `Judge` does.

Subclass `JudgeSuite` in a test module and give it a fixture `judge_for`: a function that answers the judge;
one that answers by script is told what it has to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from pipegraft.gray.model.judgement import Answer, JudgePolicy, MetricPolicy
from pipegraft.gray.model.observation import ArmCounts, Observation
from pipegraft.gray.ports import Judge

__all__ = ["JudgeSuite"]

_POLICY = JudgePolicy(
    (MetricPolicy("errors", maximum=0.05), MetricPolicy("late", maximum=0.05, critical=False)),
    max_failures=3,
)


def _release(stable: Sequence[int], gray: Sequence[int]) -> list[Observation]:
    """Intervals with so many errors of 1000 requests in each arm."""
    return [
        Observation(
            60 * number,
            60 * number + 60,
            50,
            {name: ArmCounts(1000, errors) for name in ("errors", "late")},
            {name: ArmCounts(1000, others) for name in ("errors", "late")},
        )
        for number, (errors, others) in enumerate(zip(stable, gray, strict=True))
    ]


_GOOD = _release([9, 11, 10, 12, 8, 10] * 5, [10, 8, 12, 9, 11, 10] * 5)
_BAD = _release([9, 11, 10, 12, 8, 10] * 5, [201, 199, 203, 197, 204, 200] * 5)


class JudgeSuite:
    """The contract of `Judge`."""

    @pytest.fixture
    def judge_for(self) -> Callable[[Answer], Judge]:
        raise NotImplementedError("a subclass provides the judge under test")

    def test_nothing_observed_is_no_answer(self, judge_for: Callable[[Answer], Judge]) -> None:
        found = judge_for(Answer.PASS)(_POLICY, [])
        assert found.answer is Answer.INCONCLUSIVE
        assert found.reason

    def test_a_critical_metric_without_data_never_passes(self, judge_for: Callable[[Answer], Judge]) -> None:
        judge = judge_for(Answer.INCONCLUSIVE)
        blind = [
            Observation(one.start, one.end, one.weight, one.stable, {"late": one.gray["late"]})
            for one in _GOOD
        ]
        for looks in (1, 2, len(blind)):
            assert judge(_POLICY, blind[:looks]).answer is not Answer.PASS

    @pytest.mark.parametrize(
        ("observations", "answer"), [(_GOOD, Answer.PASS), (_BAD, Answer.FAIL)], ids=["good", "bad"]
    )
    def test_it_tells_good_from_bad_and_shows_why(
        self, judge_for: Callable[[Answer], Judge], observations: list[Observation], answer: Answer
    ) -> None:
        found = judge_for(answer)(_POLICY, observations)
        assert found.answer is answer
        assert [(each.metric, each.critical) for each in found.evidence] == [
            ("errors", True),
            ("late", False),
        ]
        assert found.evidence[0].answer is answer
        assert all(each.reason for each in found.evidence)
        assert found.reason
        assert found.seconds > 0

    def test_it_keeps_nothing_between_calls(self, judge_for: Callable[[Answer], Judge]) -> None:
        judge = judge_for(Answer.FAIL)
        first = judge(_POLICY, tuple(_BAD))
        judge(_POLICY, tuple(_GOOD))
        judge(_POLICY, ())
        assert judge(_POLICY, tuple(_BAD)) == judge_for(Answer.FAIL)(_POLICY, tuple(_BAD)) == first
