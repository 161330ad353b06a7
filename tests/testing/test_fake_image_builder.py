"""The fake builder behaves as any builder."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipegraft.images.hooks import FakeImageBuilder
from pipegraft.images.ports import FakeRegistry
from pipegraft.testing.images_suite import BuilderSuite


class TestFakeImageBuilder(BuilderSuite):
    @pytest.fixture
    def builder(self) -> FakeImageBuilder:
        return FakeImageBuilder()

    @pytest.fixture
    def registry(self) -> FakeRegistry:
        return FakeRegistry()

    @pytest.fixture
    def context(self, tmp_path: Path) -> Path:
        return tmp_path
