"""The judge with a budget keeps the contract of judges, and its promise on chance."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint

import pytest

from pipegraft.app.plugins import HOOKS
from pipegraft.core.plugins import Plugins
from pipegraft.gray.hooks import JUDGES
from pipegraft.gray.judgement import Answer, JudgePolicy, MetricPolicy
from pipegraft.gray.observation import ArmCounts, Observation
from pipegraft.gray.ports import Judge
from pipegraft.testing.gray_suite import JudgeSuite


@pytest.fixture
def judge() -> Judge:
    plugins = Plugins(HOOKS, [EntryPoint("budget", "pipegraft_budget_judge", "pipegraft.judges")])
    return plugins.get(JUDGES, "budget").judge


class TestBudgetJudge(JudgeSuite):
    @pytest.fixture
    def judge_for(self, judge: Judge) -> Callable[[Answer], Judge]:
        return lambda _answer: judge


def _release(errors: Sequence[int]) -> list[Observation]:
    return [
        Observation(60 * at, 60 * at + 60, 10, {}, {"errors": ArmCounts(200, bad)})
        for at, bad in enumerate(errors)
    ]


def test_a_version_at_its_budget_is_hardly_ever_taken_back(judge: Judge) -> None:
    policy, chance = JudgePolicy((MetricPolicy("errors", maximum=0.05),), alpha=0.05), random.Random(3)
    taken_back = 0
    for _ in range(100):
        seen = _release([sum(chance.random() < 0.05 for _ in range(200)) for _ in range(20)])
        taken_back += any(judge(policy, seen[:looks]).answer is Answer.FAIL for looks in range(1, 21))
    assert taken_back <= 5


def test_twice_the_budget_is_taken_back(judge: Judge) -> None:
    policy = JudgePolicy((MetricPolicy("errors", maximum=0.05),))
    assert judge(policy, _release([20] * 20)).answer is Answer.FAIL
