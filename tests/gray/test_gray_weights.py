"""Whether the split of the requests is told from the committed one, and how sure that is."""

from __future__ import annotations

import random

import pytest

from pipegraft.gray.observation import ArmCounts, Observation
from pipegraft.gray.traffic_checks import weight_mismatch


def step(weight: float, pairs: list[tuple[float, float]]) -> list[Observation]:
    return [
        Observation(60 * n, 60 * n + 60, weight, {"e": ArmCounts(stable)}, {"e": ArmCounts(gray)})
        for n, (stable, gray) in enumerate(pairs)
    ]


def said(weight: float, pairs: list[tuple[float, float]], *, more: bool = False) -> str:
    return weight_mismatch(step(weight, pairs), 0.5, more_is_meant=more)


def test_a_split_as_committed_is_never_taken_for_another_one() -> None:
    chance = random.Random(8)
    for weight in (1, 5, 25, 50, 90):
        for _ in range(40):
            pairs = []
            for _ in range(30):
                gray = sum(chance.random() < weight / 100 for _ in range(200))
                pairs.append((200 - gray, gray))
                assert said(weight, [(float(s), float(g)) for s, g in pairs]) == ""


@pytest.mark.parametrize(("weight", "shown"), [(5, 0), (5, 1), (5, 12), (50, 5), (90, 50), (1, 10)])
def test_another_split_is_named_once_enough_requests_were_seen(weight: int, shown: int) -> None:
    few, many = 20.0, 40_000.0
    assert said(weight, [(few * (100 - shown) / 100, few * shown / 100)]) == ""
    found = said(weight, [(many * (100 - shown) / 100, many * shown / 100)])
    assert found.startswith(f"expected {weight}% of the requests to be gray's, found {shown}% of the 40,000")


def test_more_than_the_weight_is_fine_where_it_is_meant_and_less_is_not() -> None:
    assert said(5, [(8_000, 2_000)], more=True) == ""
    assert said(5, [(10_000, 0)], more=True)


def test_a_router_that_was_late_is_forgiven_and_one_that_stopped_is_found() -> None:
    good, none = (9_500.0, 500.0), (10_000.0, 0.0)
    assert said(5, [none, none, good, good]) == ""
    assert said(5, [good, good, none, none])


def test_without_requests_nothing_is_said() -> None:
    assert said(5, []) == said(5, [(0, 0)]) == ""
