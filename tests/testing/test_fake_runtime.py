from __future__ import annotations

import pytest

from pipegraft.engine.ports import Container, FakeRuntime, Phase, Workload
from pipegraft.testing.engine_suite import RuntimeSuite


class TestFakeRuntime(RuntimeSuite):
    @pytest.fixture
    def runtime(self) -> FakeRuntime:
        return FakeRuntime({"broken": Phase.FAILED})

    @pytest.fixture
    def workload(self) -> Workload:
        return Workload("shop", "web", (Container("web", "image"),), ports=(8080,))

    @pytest.fixture
    def crashing(self) -> Workload:
        return Workload("shop", "broken", (Container("broken", "image"),), ports=(8080,))
