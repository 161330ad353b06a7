"""What every `Clock` does. Subclass `ClockSuite` in a test module and provide the fixture `clock`."""

from __future__ import annotations

import pytest

from pipegraft.core.clock import Clock

__all__ = ["ClockSuite"]

_YEAR_2020 = 1_577_836_800.0


class ClockSuite:
    """The contract of `Clock`."""

    def test_it_counts_seconds_since_the_epoch(self, clock: Clock) -> None:
        assert clock.now() > _YEAR_2020

    def test_time_does_not_pass_backwards(self, clock: Clock) -> None:
        first = clock.now()
        assert clock.now() >= first

    def test_sleeping_takes_the_time_it_is_given(self, clock: Clock) -> None:
        before = clock.now()
        clock.sleep(0.05)
        assert clock.now() - before >= 0.05 - 0.005  # the wall clock may be adjusted meanwhile

    @pytest.mark.parametrize("seconds", [0.0, -3600.0])
    def test_nothing_to_wait_for_is_not_waited_for(self, clock: Clock, seconds: float) -> None:
        before = clock.now()
        clock.sleep(seconds)
        assert 0 <= clock.now() - before < 60
