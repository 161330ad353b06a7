"""This machine's clock."""

from __future__ import annotations

import pytest

from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.testing.core_suite import ClockSuite


class TestSystemClock(ClockSuite):
    @pytest.fixture
    def clock(self) -> SystemClock:
        return SystemClock()
