"""What is behind is observed in intervals, in the steps and in the bake, and real judges can use it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipegraft.core.ports import RecordingProgress
from pipegraft.gray.analysis import GrayBake, GrayWatch
from pipegraft.gray.judgement import Answer, JudgePolicy, MetricPolicy
from pipegraft.gray.judging.sequential import sequential
from pipegraft.gray.observation import ArmCounts, Observation
from pipegraft.gray.ports import Arms, FakeSource

POLICY = JudgePolicy((MetricPolicy("errors"),))
STEPS = [
    Observation(60.0 * at, 60.0 * at + 60, 5, {"errors": ArmCounts(1_000, 8 + at % 5)}) for at in range(16)
]


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
    bake = GrayBake({"errors": source}, sequential, POLICY, STEPS, 1000, long=8)
    bake.begin(1600 if late else 1000)
    judgement = bake.look(1600 if late else 1060, 60)
    for look in range(2, 11):
        if not late and judgement.answer is not Answer.FAIL:
            judgement = bake.look(1000 + 60 * look, 60)
    assert (judgement.answer is Answer.FAIL) is fails


@pytest.mark.parametrize(
    ("shares", "fails_at"),
    [
        ([10] * 3 + [80] * 5 + [10] * 22, None),  # an incident of five minutes
        ([20] * 30, 15),
        ([400] * 30, 3),
        ([10] * 10 + [30] * 20, 23),
    ],
)
def test_what_passes_after_the_promotion_is_no_regression(shares: list[int], fails_at: int | None) -> None:
    arms = [Arms(ArmCounts(1_000, bad), None) for bad in shares]
    bake = GrayBake({"errors": FakeSource(arms)}, sequential, POLICY, STEPS, 0.0, long=15)
    bake.begin(0.0)
    answers = [bake.look(60.0 * look).answer for look in range(1, len(shares) + 1)]
    found = answers.index(Answer.FAIL) + 1 if Answer.FAIL in answers else None
    assert found == fails_at


def test_what_stable_showed_for_as_long_before_is_no_regression() -> None:
    rough = [replace(one, stable={"errors": ArmCounts(1_000, 25)}) for one in STEPS]
    arms = [Arms(ArmCounts(1_000, 25), None)]
    bake = GrayBake({"errors": FakeSource(arms)}, sequential, POLICY, [*STEPS, *STEPS, *rough], 0.0, long=15)
    bake.begin(0.0)
    assert Answer.FAIL not in {bake.look(60.0 * look).answer for look in range(1, 31)}
