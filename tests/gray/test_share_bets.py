"""Bets on bad requests: a fair game under every innocent story, won quickly otherwise."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipegraft.gray.judging.binomial import ShareBets
from pipegraft.gray.judging.hypotheses import Constant, Wandering, weathers
from pipegraft.gray.judging.readings import Draws

TOLERANCE, MARGIN = 0.1, 1.0
INTERVALS = ((95, 5, 4), (80, 20, 3), (90, 10, 4))
"""Requests of stable and of gray, and bad requests of both, in each interval."""


def expected_gain(law: Callable[[], Constant | Wandering], side: str, wander: float) -> float:
    """What a bet of 1 is worth on average after three intervals, over everything that can happen."""
    mean = total = 0.0
    for path in product(*(range(bad + 1) for _, _, bad in INTERVALS)):
        bets, story, ways = ShareBets(TOLERANCE, MARGIN, 0.0, wander), law(), 1
        for (stable, gray, bad), on_gray in zip(INTERVALS, path, strict=True):
            bets.see(Draws(stable, bad - on_gray, gray, on_gray))
            story.see(math.log(gray / stable), on_gray, bad - on_gray)
            ways *= math.comb(bad, on_gray)
        probability = ways * math.exp(story.score)
        total += probability
        mean += probability * math.exp(getattr(bets, side))
    assert total == pytest.approx(1)
    return mean


@pytest.mark.parametrize("wander", [0.0, 0.2])
@pytest.mark.parametrize("theta", [math.log(1 + TOLERANCE), 0.0, -0.7, -2.0])
def test_nobody_gains_by_betting_against_a_version_within_tolerance(theta: float, wander: float) -> None:
    assert expected_gain(lambda: Constant(theta), "against", wander) <= 1 + 1e-9


@pytest.mark.parametrize("wander", [0.0, 0.2])
@pytest.mark.parametrize("theta", [math.log(1 + MARGIN), 1.2, 3.0])
def test_nobody_gains_by_betting_on_a_version_worse_by_the_margin(theta: float, wander: float) -> None:
    assert expected_gain(lambda: Constant(theta), "in_favour", wander) <= 1 + 1e-9


@pytest.mark.parametrize("shape", range(5))
def test_nobody_gains_from_the_weather(shape: int) -> None:
    assert expected_gain(lambda: weathers(0.0, 0.2)[shape], "against", 0.2) <= 1 + 1e-9
    assert expected_gain(lambda: weathers(math.log(1 + MARGIN), 0.2)[shape], "in_favour", 0.2) <= 1 + 1e-9


@pytest.mark.parametrize("wander", [0.0, 0.2])
@pytest.mark.parametrize("weights", [(0.05,), (0.01, 0.05, 0.25, 0.5)])
def test_with_storms_and_changing_weights_false_alarms_stay_below_alpha(
    weights: tuple[float, ...], wander: float
) -> None:
    """250 releases of 40 looks at the edge of the tolerance: at most 1% may ever reach 100 to 1."""
    chance = random.Random(8)
    alarms = 0
    for _ in range(250):
        bets, storm = ShareBets(TOLERANCE, MARGIN, 0.0, wander), 0.0
        for look in range(40):
            weight = weights[look * len(weights) // 40]
            storm = 0.8 * storm + 0.6 * chance.gauss(0, 0.5)
            rate = 20 * math.exp(storm)
            gray = poisson(chance, rate * weight * (1 + TOLERANCE))
            bets.see(Draws(1 - weight, poisson(chance, rate * (1 - weight)), weight, gray))
            if bets.against > math.log(100):
                alarms += 1
                break
    assert alarms <= 6


def poisson(chance: random.Random, mean: float) -> int:
    count, left = 0, chance.expovariate(1)
    while left < mean:
        count += 1
        left += chance.expovariate(1)
    return count


def test_retries_that_come_in_clumps_are_no_regression() -> None:
    """200 releases of 30 looks with errors in clumps of three on average, in both arms alike."""
    chance = random.Random(5)

    def clumps(mean: float) -> int:
        return sum(1 + poisson(chance, 2) for _ in range(poisson(chance, mean / 3)))

    alarms = 0
    for _ in range(200):
        bets = ShareBets(TOLERANCE, MARGIN, 0.0, 0.2)
        for _ in range(30):
            bets.see(Draws(0.95, clumps(95), 0.05, clumps(5)))
            if bets.against > math.log(100):
                alarms += 1
                break
    assert alarms <= 4


def looks_until(side: str, ratio: float, wander: float = 0.2) -> int:
    """Intervals of 10 expected bad requests of gray until a side reaches 100 to 1."""
    bets = ShareBets(TOLERANCE, MARGIN, 0.0, wander)
    for look in range(1, 200):
        bets.see(Draws(19_000, 190, 1_000, 10 * ratio))
        if getattr(bets, side) > math.log(100):
            return look
    return 200


def test_the_worse_a_version_the_sooner_it_is_found_out() -> None:
    looks = [looks_until("against", ratio) for ratio in (1.5, 2, 3, 20)]
    assert looks == sorted(looks, reverse=True)
    assert looks[-1] == 2, "no single interval decides"
    assert looks_until("against", 1.0) == looks_until("against", 0.5) == 200


def test_the_better_a_version_the_sooner_it_passes() -> None:
    looks = [looks_until("in_favour", ratio) for ratio in (1.4, 1.0, 0.5)]
    assert looks == sorted(looks, reverse=True)
    assert looks_until("in_favour", 2.0) == 200


def test_trust_decides_sooner() -> None:
    assert looks_until("against", 2, wander=0) < looks_until("against", 2, wander=0.2)
    assert looks_until("in_favour", 1, wander=0) < looks_until("in_favour", 1, wander=0.2)


def test_a_late_regression_is_found_about_as_soon_after_a_new_weight_as_from_the_start() -> None:
    bets = ShareBets(TOLERANCE, MARGIN, 0.0, 0.2)
    for _ in range(30):
        bets.see(Draws(19_000, 190, 1_000, 10))
    late = 0
    while bets.against < math.log(100):
        bets.see(Draws(15_000, 150, 5_000, 100), new_weight=late == 0)
        late += 1
    assert late <= 8


def test_an_arm_without_requests_says_nothing() -> None:
    bets = ShareBets(TOLERANCE, MARGIN, 0.0, 0.2)
    bets.see(Draws(0, 0, 1_000, 1_000))
    bets.see(Draws(1_000, 1_000, 0, 0))
    assert bets.against < 0.1
    assert bets.in_favour == pytest.approx(0)
    assert bets.estimate is None
    assert bets.interval(0.01) == (None, None)


def test_the_floor_needs_no_stable_arm_to_pass_and_both_to_fail() -> None:
    bets = ShareBets(TOLERANCE, MARGIN, 0.01, 0.0)
    bets.see(Draws(0, 0, 800, 0))
    assert bets.in_favour > math.log(100)
    bets = ShareBets(TOLERANCE, MARGIN, 0.01, 0.0)
    for _ in range(5):
        bets.see(Draws(10_000, 10, 10_000, 90))
    assert bets.against < 0, "nine times stable's, and still below the floor"
    for _ in range(5):
        bets.see(Draws(10_000, 10, 10_000, 900))
    assert bets.against > math.log(100)


@given(st.integers(0, 60), st.integers(0, 400))
def test_the_interval_holds_the_estimate(gray: int, stable: int) -> None:
    bets = ShareBets(TOLERANCE, MARGIN, 0.0, 0.2)
    for _ in range(3):
        bets.see(Draws(19_000, stable, 1_000, gray))
    low, high = bets.interval(0.01)
    assert (low is None) == (gray == 0)
    assert (high is None) == (stable == 0)
    if low is not None and bets.estimate:
        assert low <= bets.estimate * 1.01
    if high is not None and bets.estimate:
        assert high >= bets.estimate * 0.99


def test_the_interval_covers_the_truth_at_every_look() -> None:
    """200 releases of 12 looks: the true ratio is ever outside in at most 2 x 2.5%."""
    chance = random.Random(3)
    outside = 0
    for _ in range(200):
        bets = ShareBets(TOLERANCE, MARGIN, 0.0, 0.0)
        for _ in range(12):
            bets.see(Draws(0.9, poisson(chance, 45), 0.1, poisson(chance, 7.5)))
            low, high = bets.interval(0.025)
            if (low is not None and low > 1.5) or (high is not None and high < 1.5):
                outside += 1
                break
    assert outside <= 12


def test_sources_that_extrapolate_may_give_fractions() -> None:
    whole, part = ShareBets(TOLERANCE, MARGIN, 0.001, 0.2), ShareBets(TOLERANCE, MARGIN, 0.001, 0.2)
    for _ in range(5):
        whole.see(Draws(19_000, 190, 1_000, 20))
        part.see(Draws(19_000.4, 190.02, 1_000.02, 20.003))
    assert part.against == pytest.approx(whole.against, rel=1e-2)


def test_a_drift_beyond_what_is_expected_shows_itself_and_is_no_guilt() -> None:
    chance = random.Random(3)
    bets = ShareBets(0.1, 1.0, 0.001, 0.2)
    assert bets.storm == 0
    for _ in range(40):
        bad = 57 * math.exp(0.7 * chance.gauss(0, 1))
        bets.see(Draws(stable=57_000, stable_bad=570, gray=3_000, gray_bad=round(bad / 2)))
    assert bets.storm > 0.2
    assert bets.against < math.log(500)


def test_a_lasting_regression_is_no_drift() -> None:
    for multiple in (1.5, 2, 3, 10):
        bets = ShareBets(0.1, 1.0, 0.001, 0.2)
        for _ in range(40):
            bets.see(Draws(stable=57_000, stable_bad=570, gray=3_000, gray_bad=30 * multiple))
        assert bets.storm == 0
        assert bets.against > math.log(500)
