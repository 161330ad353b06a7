"""The registry in memory behaves as any registry."""

from __future__ import annotations

import pytest

from pipegraft.images.ports import FakeRegistry
from pipegraft.testing.images_suite import ReferrersSuite


class TestFakeRegistry(ReferrersSuite):
    @pytest.fixture
    def registry(self) -> FakeRegistry:
        return FakeRegistry()
