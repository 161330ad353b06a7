"""What every `MetricSource` does that counts errors.

Subclass `MetricSourceSuite` in a test module and give it a fixture `play`, see `Play`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from pipegraft.core.errors import Unreachable
from pipegraft.gray.model.observation import ArmCounts
from pipegraft.gray.ports import Arms, MetricSource

__all__ = ["MetricSourceSuite", "Play"]

Play = Callable[[Sequence[Arms | None]], tuple[MetricSource, Callable[[], None]]]
"""What will happen, interval by interval (None: the source cannot be reached) → the source, and a function
that makes the next interval happen."""

_BUSY = Arms(ArmCounts(90, 2), ArmCounts(10, 1))
_QUIET = Arms(ArmCounts(30, 0), ArmCounts(30, 7))
_NOTHING = Arms(ArmCounts(0, 0), ArmCounts(0, 0))


def _seen(arms: Arms) -> tuple[ArmCounts | None, ArmCounts | None]:
    return arms.stable, arms.gray


class MetricSourceSuite:
    """The contract of `MetricSource`."""

    def test_it_counts_from_then_or_from_now(self, play: Play) -> None:
        source, _ = play([_BUSY])
        assert source.begin(at=1000.0, now=1060.0) in (1000.0, 1060.0)

    def test_each_interval_holds_what_happened_in_it(self, play: Play) -> None:
        source, happen = play([_BUSY, _QUIET, _NOTHING])
        source.begin(at=1000.0, now=1000.0)
        for number, expected in enumerate((_BUSY, _QUIET, _NOTHING), 1):
            happen()
            assert _seen(source.take(1000.0 + 60 * number)) == _seen(expected)

    def test_out_of_reach_is_said_and_nothing_is_lost(self, play: Play) -> None:
        source, happen = play([None, _BUSY])
        source.begin(at=1000.0, now=1000.0)
        happen()
        with pytest.raises(Unreachable):
            source.take(1060.0)
        happen()
        assert _seen(source.take(1120.0)) == _seen(_BUSY)
