"""Every judge that ships keeps the contract of judges."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipegraft.gray.hooks import JudgePlugin
from pipegraft.gray.judgement import Answer
from pipegraft.gray.judging.sequential import pipegraft_judges
from pipegraft.gray.ports import Judge
from pipegraft.testing.gray_suite import JudgeSuite


@pytest.mark.parametrize("plugin", list(pipegraft_judges()), ids=lambda plugin: plugin.name)
class TestJudges(JudgeSuite):
    @pytest.fixture
    def judge_for(self, plugin: JudgePlugin) -> Callable[[Answer], Judge]:
        return lambda _answer: plugin.judge
