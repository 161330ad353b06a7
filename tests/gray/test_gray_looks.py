"""What is behind is observed in intervals, in the steps and in the bake, and real judges can use it."""

from __future__ import annotations

import pytest

from pipegraft.core.progress import RecordingProgress
from pipegraft.gray.analysis import GrayBake, GrayWatch
from pipegraft.gray.judging.sequential import sequential
from pipegraft.gray.model.judgement import Answer, JudgePolicy, MetricPolicy
from pipegraft.gray.model.observation import ArmCounts
from pipegraft.gray.ports import Arms, FakeSource

POLICY = JudgePolicy((MetricPolicy("errors"),))


def test_who_comes_late_observes_the_intervals_that_others_would_have() -> None:
    source = FakeSource([Arms(ArmCounts(900, 9), ArmCounts(100, 1))], remembers=True)
    watch = GrayWatch({"errors": source}, sequential, POLICY, (), RecordingProgress())
    watch.begin(1000, 1290)
    watch.look(10, 1290, 60)
    assert [(one.start, one.end) for one in watch.step] == [
        (1000, 1060),
        (1060, 1120),
        (1120, 1180),
        (1180, 1290),
    ]
    assert source.windows == [(one.start, one.end) for one in watch.step]
    watch.look(10, 1350, 60)
    assert watch.end == 1350
    assert len(watch.step) == 5


@pytest.mark.parametrize(("errors", "fails"), [(10, False), (60, True)])
@pytest.mark.parametrize("late", [True, False])
def test_the_default_judge_tells_a_regression_after_the_promotion(
    errors: int, fails: bool, late: bool
) -> None:
    source = FakeSource([Arms(ArmCounts(1_000, errors), None)], remembers=late)
    bake = GrayBake({"errors": source}, sequential, POLICY, {"errors": ArmCounts(20_000, 200)}, 1000)
    bake.begin(1600 if late else 1000)
    judgement = bake.look(1600 if late else 1060, 60)
    for look in range(2, 11):
        if not late and judgement.answer is not Answer.FAIL:
            judgement = bake.look(1000 + 60 * look, 60)
    assert (judgement.answer is Answer.FAIL) is fails
