"""Scales that people can read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipegraft.core.page import ago, count_axis, duration_axis, share_axis, show_duration


@pytest.mark.parametrize(
    ("most", "labels"),
    [
        (0, ["0", "1"]),
        (1, ["0", "1"]),
        (7, ["0", "2", "4", "6", "8"]),
        (35, ["0", "10", "20", "30", "40"]),
        (1200, ["0", "500", "1,000", "1,500"]),
    ],
)
def test_counts_have_whole_ticks(most: int, labels: list[str]) -> None:
    axis = count_axis(most)
    assert [axis.show(tick) for tick in axis.ticks] == labels


@pytest.mark.parametrize(
    ("most", "labels"),
    [
        (1.0, ["0%", "25%", "50%", "75%", "100%"]),
        (0.97, ["0%", "25%", "50%", "75%", "100%"]),
        (1.3, ["0%", "25%", "50%", "75%", "100%"]),
        (0.012, ["0%", "0.5%", "1%", "1.5%"]),
        (0.0, ["0%", "0.25%", "0.5%", "0.75%", "1%"]),
    ],
)
def test_shares_end_at_a_hundred_percent(most: float, labels: list[str]) -> None:
    axis = share_axis(most)
    assert [axis.show(tick) for tick in axis.ticks] == labels


@pytest.mark.parametrize(
    ("most", "labels"),
    [
        (1.65, ["0 s", "0.5 s", "1 s", "1.5 s", "2 s"]),
        (100, ["0 min", "0.5 min", "1 min", "1.5 min", "2 min"]),
        (4 * 3600, ["0 h", "1 h", "2 h", "3 h", "4 h"]),
        (20 * 86400, ["0 d", "5 d", "10 d", "15 d", "20 d"]),
    ],
)
def test_durations_have_one_unit(most: float, labels: list[str]) -> None:
    axis = duration_axis(most)
    assert [axis.show(tick) for tick in axis.ticks] == labels


@given(st.floats(0, 1e9), st.sampled_from([count_axis, share_axis, duration_axis]))
def test_every_axis_reaches_its_largest_value_with_few_ticks(most: float, make: object) -> None:
    axis = make(most)  # type: ignore[operator]
    assert axis.ticks[0] == 0
    assert axis.ticks[-1] == pytest.approx(axis.top)
    assert list(axis.ticks) == sorted(set(axis.ticks))
    assert 2 <= len(axis.ticks) <= 6
    assert axis.top >= min(most, 1.0) * (1 - 1e-9) if make is share_axis else axis.top >= most * (1 - 1e-9)
    assert axis.at(0, 10, 110) == 10
    assert axis.at(axis.top, 10, 110) == axis.at(axis.top * 2, 10, 110) == 110


@pytest.mark.parametrize(
    ("seconds", "told", "past"),
    [
        (0, "0 s", "just now"),
        (59.6, "1 min", "just now"),
        (61, "1 min", "1 min ago"),
        (3700, "1 h 1 min", "1 h ago"),
        (86400 * 3 + 3600 * 4 + 60, "3 d 4 h", "3 d ago"),
        (86400 * 3 + 60, "3 d", "3 d ago"),
    ],
)
def test_a_duration_is_told_with_its_largest_units(seconds: float, told: str, past: str) -> None:
    assert show_duration(seconds) == told
    assert ago(seconds) == past
