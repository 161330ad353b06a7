"""Stories are laws: their scores are probabilities, so nobody gains by betting against a true one."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipegraft.gray.judging.arithmetic import edge, log_mixture
from pipegraft.gray.judging.hypotheses import (
    Clumped,
    Constant,
    Following,
    Freak,
    Onset,
    Since,
    Wandering,
    weathers,
)

TOTALS = (3, 4, 2)
ODDS = (math.log(5 / 95), math.log(25 / 75), math.log(0.1))
"""Three intervals: bad requests in each, and the odds at which they fell on gray. Every path is tried."""


def paths() -> list[tuple[int, ...]]:
    return list(product(*(range(total + 1) for total in TOTALS)))


def ways(path: tuple[int, ...]) -> int:
    return math.prod(math.comb(total, gray) for total, gray in zip(TOTALS, path, strict=True))


def tell(story: Constant | Wandering | Following, path: tuple[int, ...]) -> float:
    for odds, total, gray in zip(ODDS, TOTALS, path, strict=True):
        story.see(odds, gray, total - gray)
    return story.score


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant(0.3),
        lambda: Wandering(0.3, 0.2, 0.0),
        lambda: Wandering(-0.5, 0.4, 0.8),
        lambda: Wandering(0.0, 1.5, 0.0),
        lambda: Clumped(0.2, 3.0),
        lambda: Following(-math.inf, 0.6),
    ],
)
def test_the_probabilities_of_everything_that_can_happen_sum_to_one(make: object) -> None:
    assert callable(make)
    assert sum(ways(path) * math.exp(tell(make(), path)) for path in paths()) == pytest.approx(1)


@pytest.mark.parametrize("make", [lambda: Onset(0.7), lambda: Since(math.log(10), 2.0)])
def test_an_onset_is_a_mixture_of_laws(make: Callable[[], Onset | Since]) -> None:
    def onset(path: tuple[int, ...]) -> float:
        story, before = make(), Constant(0.0)
        for number, (odds, total, gray) in enumerate(zip(ODDS, TOTALS, path, strict=True)):
            staked = (0.5, 0.3, 0.2)[number]
            story.see(odds, gray, total - gray, math.log(staked) + before.score)
            before.see(odds, gray, total - gray)
        return story.score

    assert sum(ways(path) * math.exp(onset(path)) for path in paths()) == pytest.approx(1)


def test_scores_are_those_of_the_binomial_and_the_beta_binomial_distribution() -> None:
    # scipy 1.17: binom.logpmf(3, 20, .05 * 2 / (.05 * 2 + .95)) and betabinom.logpmf of mean log odds
    # log(1 / 19), variance 0.08, without the logarithm of comb(20, 3)
    constant = Constant(math.log(2))
    constant.see(math.log(5 / 95), 3, 17)
    assert constant.score == pytest.approx(-8.755544566959138)
    wandering = Wandering(0.0, math.sqrt(0.08), 0.0)
    wandering.see(math.log(5 / 95), 3, 17)
    assert wandering.score == pytest.approx(-9.816820108351976)


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=6),
    st.floats(-2, 2),
)
def test_arms_can_be_swapped(intervals: list[tuple[float, int, int]], theta: float) -> None:
    for make in (Constant, lambda theta: Wandering(theta, 0.3, 0.8), Freak, lambda theta: Clumped(theta, 3)):
        one, other = make(theta), make(-theta)
        for odds, gray, stable in intervals:
            one.see(odds, gray, stable)
            other.see(-odds, stable, gray)
        assert one.score == pytest.approx(other.score, abs=1e-7)


@given(st.permutations([(-3.0, 2, 40), (-1.0, 12, 30), (0.0, 5, 5), (-2.9, 0, 25)]))
def test_a_fixed_multiple_does_not_care_in_which_order_intervals_come(
    intervals: list[tuple[float, int, int]],
) -> None:
    for make in (Constant, Freak):
        story, sorted_ = make(0.4), make(0.4)
        for interval in intervals:
            story.see(*interval)
        for interval in sorted(intervals):
            sorted_.see(*interval)
        assert story.score == pytest.approx(sorted_.score)


def test_a_freak_interval_is_pardoned_once() -> None:
    calm = [(-3.0, 5, 95)] * 10
    burst = (-3.0, 60, 95)
    scores = []
    for intervals in (calm, [*calm, burst], [*calm, burst, burst]):
        freak, constant = Freak(0.0), Constant(0.0)
        for interval in intervals:
            freak.see(*interval)
            constant.see(*interval)
        scores.append(freak.score - constant.score)
    assert scores[0] < 0.1
    assert scores[1] > 50
    assert scores[2] == scores[1]


def test_a_wandering_story_remembers_where_the_weather_was() -> None:
    for memory, surprised in ((0.0, True), (0.8, False)):
        story = Wandering(0.0, 0.3, memory)
        for _ in range(5):
            story.see(0.0, 65, 35)
        before = story.score
        story.see(0.0, 65, 35)
        like = story.score - before
        fresh = Wandering(0.0, 0.3, memory)
        fresh.see(0.0, 65, 35)
        assert (like == pytest.approx(fresh.score)) is surprised
        assert like >= fresh.score - 1e-9


def test_the_following_story_compares_interval_by_interval() -> None:
    story = Following(-math.inf, math.inf)
    assert story.multiple is None
    # a storm that trebles both arms' errors comes with a higher weight: pooled totals would mislead
    story.see(math.log(5 / 95), 5, 95)
    story.see(math.log(50 / 50), 150, 150)
    assert story.multiple == pytest.approx(1)


def test_without_wander_there_is_nothing_but_constants() -> None:
    assert weathers(0.0, 0.0) == ()
    assert len(weathers(0.0, 0.2)) == 5


def test_mixtures_of_scores_far_apart_neither_overflow_nor_vanish() -> None:
    assert log_mixture([-2000.0, -2000.0], [0.5, 0.5]) == pytest.approx(-2000)
    assert log_mixture([1e5, -1e5], [0.25, 0.75]) == pytest.approx(1e5 + math.log(0.25))
    assert log_mixture([-math.inf, -math.inf], [0.5, 0.5]) == -math.inf


@pytest.mark.parametrize(("top", "curvature"), [(0.0, 1.0), (1.3, 40.0), (-2.0, 3000.0)])
def test_the_edge_is_where_the_score_is_lost(top: float, curvature: float) -> None:
    def score(x: float) -> float:
        return -0.5 * curvature * (x - top) ** 2

    for outside in (-8.0, 8.0):
        found = edge(score, top, outside, -5.0)
        assert abs(found - top) == pytest.approx(math.sqrt(10 / curvature), rel=0.02, abs=0.011)
        assert (found > top) == (outside > top)
    assert edge(score, 4.0, 8.0, 1.0) == 4.0, "already below"
