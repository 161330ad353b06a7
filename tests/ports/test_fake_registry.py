"""The registry in memory behaves as any registry."""

from __future__ import annotations

import pytest

from pipegraft.ports.registry import FakeRegistry
from pipegraft.testing.registry_suite import RegistrySuite


class TestFakeRegistry(RegistrySuite):
    @pytest.fixture
    def registry(self) -> FakeRegistry:
        return FakeRegistry()
