"""Bets on plain values: fair for like arms, memory or not."""

from __future__ import annotations

import math
import random

import pytest

from pipegraft.gray.judging.values import ValueBets


def release(ratio: float, memory: float, seed: int, looks: int = 40) -> tuple[ValueBets, float]:
    """The bets after all looks, and the most that spoke against gray at any of them."""
    chance = random.Random(seed)
    bets, weather = ValueBets(0.1, 1.0), chance.gauss(0, 0.2)
    best = -math.inf
    for _ in range(looks):
        bets.see(40.0, 40.0 * ratio * math.exp(weather))
        best = max(best, bets.against)
        weather = memory * weather + math.sqrt(1 - memory**2) * chance.gauss(0, 0.2)
    return bets, best


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8])
def test_like_arms_are_rarely_called_different(memory: float) -> None:
    alarms = sum(release(1.1, memory, seed)[1] > math.log(100) for seed in range(100))
    assert alarms <= 3


def test_a_clear_difference_is_found_and_likeness_too() -> None:
    found = sum(release(3, 0.0, seed)[1] > math.log(100) for seed in range(30))
    assert found == 30
    good = [release(1.0, 0.0, seed, 60)[0] for seed in range(30)]
    assert all(bets.in_favour > math.log(100) for bets in good)
    for bets in good:
        low, high = bets.interval(0.01)
        assert low is not None
        assert high is not None
        assert low < (bets.estimate or 0) < high
        assert 0.6 < low < 1 < high < 1.7


def test_scale_does_not_matter() -> None:
    one, other = ValueBets(0.1, 1.0), ValueBets(0.1, 1.0)
    for gray in (50.0, 41.0, 44.0):
        one.see(40.0, gray)
        other.see(4e-6, gray * 1e-7)
    assert one.against == pytest.approx(other.against)


def test_before_the_first_look_there_is_nothing_to_say() -> None:
    bets = ValueBets(0.1, 1.0)
    assert bets.against <= 0
    assert bets.in_favour == pytest.approx(0)
    assert bets.estimate is None
    assert bets.interval(0.01) == (None, None)


def test_a_doubling_that_comes_late_is_found_soon() -> None:
    """Before, only the release's mean counted: a doubling after 30 good intervals was hardly ever found."""
    chance = random.Random(2)
    bets = ValueBets(0.1, 1.0)
    for _ in range(30):
        bets.see(40, 40 * math.exp(0.1 * chance.gauss(0, 1)))
    assert bets.against < math.log(100)
    late = 0
    while bets.against < math.log(100):
        bets.see(40, 80 * math.exp(0.1 * chance.gauss(0, 1)))
        late += 1
    assert late <= 12
