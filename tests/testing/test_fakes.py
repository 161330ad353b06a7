"""The fakes behave as the ports they stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pipegraft.appspec.traffic_ports import FakeRouter
from pipegraft.core.errors import Unreachable
from pipegraft.core.ports import FakeClock, RecordingProgress
from pipegraft.core.release import FakeReleaseStore
from pipegraft.engine.adapters.gitops import verdict
from pipegraft.gate.ports import FakeEngine, VerdictRule
from pipegraft.gray.judgement import Answer
from pipegraft.gray.ports import Arms, FakeJudge, FakeSource, MetricSource
from pipegraft.testing.core_suite import ClockSuite, ProgressSuite, ReleaseStoreSuite, release_of
from pipegraft.testing.engine_suite import EngineSuite
from pipegraft.testing.gray_suite import JudgeSuite, MetricSourceSuite, Play, RouterSuite


class TestFakeClock(ClockSuite):
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()


class TestFakeEngine(EngineSuite):
    @pytest.fixture
    def engine(self) -> FakeEngine:
        revision = {"observed": "abc", "desired": "abc", "live": "abc"}
        lists: dict[str, list[Any]] = {"problems": [], "trouble": [], "resources": []}
        return FakeEngine([{"revision": revision, "health": "healthy", "message": "it is live", **lists}])

    @pytest.fixture
    def rule(self) -> VerdictRule:
        return verdict

    @pytest.fixture
    def target(self) -> str:
        return "abc"


class TestFakeJudge(JudgeSuite):
    @pytest.fixture
    def judge_for(self) -> Callable[[Answer], FakeJudge]:
        return FakeJudge


class TestFakeSource(MetricSourceSuite):
    @pytest.fixture(params=[False, True], ids=["forgets", "remembers"])
    def play(self, request: pytest.FixtureRequest) -> Play:
        def play(intervals: Sequence[Arms | None]) -> tuple[MetricSource, Callable[[], None]]:
            script = [arms or Unreachable("nobody is there") for arms in intervals]
            return FakeSource(script, remembers=request.param), lambda: None

        return play


class TestRecordingProgress(ProgressSuite):
    @pytest.fixture
    def progress(self) -> RecordingProgress:
        return RecordingProgress()

    @pytest.fixture
    def said(self, progress: RecordingProgress) -> Callable[[], str]:
        return lambda: "\n".join(event.message for event in progress.events)


class TestFakeReleaseStore(ReleaseStoreSuite):
    @pytest.fixture
    def open_store(self) -> Callable[[], FakeReleaseStore]:
        store = FakeReleaseStore(release_of(0))
        return lambda: store


class TestFakeRouter(RouterSuite):
    @pytest.fixture
    def router(self) -> FakeRouter:
        return FakeRouter()

    @pytest.fixture
    def addresses(self) -> tuple[str, ...]:
        return ("127.0.0.1:1",)

    @pytest.fixture
    def ask(self, router: FakeRouter) -> Callable[[str], None]:
        return router.serve
