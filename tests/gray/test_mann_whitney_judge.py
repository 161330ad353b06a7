"""Kayenta's rule, checked against other implementations of the test inside it."""

from __future__ import annotations

import math
import random

import pytest

from pipegraft.gray.judging.published_rules import MannWhitneyJudge, Shift
from pipegraft.gray.model.judgement import Answer, JudgePolicy, MetricPolicy
from pipegraft.gray.model.observation import ArmCounts, Observation

GRAY = (3.1, 2.7, 4.4, 5.0, 3.9, 2.7, 4.1)
STABLE = (2.0, 2.6, 3.3, 1.8, 2.9, 3.0, 2.2)


def shift_of(stable: tuple[float, ...], gray: tuple[float, ...], sign: int = 1) -> Shift:
    shift = Shift(sign)
    for one, other in zip(stable, gray, strict=True):
        shift.add(one, other)
    return shift


def test_known_values() -> None:
    # Hodges-Lehmann estimate by brute force; ends where the statistic of Kayenta's MannWhitney.scala,
    # computed by ranks on a fine grid of shifts, crosses the 98% quantile
    shift = shift_of(STABLE, GRAY)
    assert shift.estimate == pytest.approx(1.1)
    assert shift.interval(0.98) == (pytest.approx(-0.2), pytest.approx(2.4))
    assert shift.score == pytest.approx(1.6629074449732657)
    assert shift.means == (pytest.approx(17.8 / 7), pytest.approx(25.9 / 7))


def test_the_statistic_at_no_shift_is_that_of_scipy() -> None:
    # scipy 1.17: mannwhitneyu(GRAY, STABLE, method="asymptotic") has p = 0.029662258911377203, z = 2.174571
    shift = shift_of(STABLE, GRAY)
    above = sum(gray > stable for gray in GRAY for stable in STABLE)
    assert (above - 24.5 - 0.5) / shift._deviation == pytest.approx(2.174571274195809)


def test_swapping_the_arms_mirrors_the_shift() -> None:
    one, other = shift_of(STABLE, GRAY), shift_of(GRAY, STABLE)
    assert one.estimate == pytest.approx(-(other.estimate or math.nan))
    low, high = one.interval(0.9)
    other_low, other_high = other.interval(0.9)
    assert (low, high) == (pytest.approx(-(other_high or 0)), pytest.approx(-(other_low or 0)))
    assert other.score == -math.inf


def test_the_order_of_intervals_does_not_matter() -> None:
    chance = random.Random(1)
    order = list(range(7))
    chance.shuffle(order)
    shuffled = shift_of(tuple(STABLE[i] for i in order), tuple(GRAY[i] for i in order))
    assert shuffled.interval(0.9) == shift_of(STABLE, GRAY).interval(0.9)
    assert shuffled.score == pytest.approx(shift_of(STABLE, GRAY).score)


@pytest.mark.parametrize("confidence", [0.9, 0.98, 0.999])
def test_the_score_reaches_the_quantile_exactly_when_the_interval_exceeds_a_quarter(
    confidence: float,
) -> None:
    chance = random.Random(5)
    judge = MannWhitneyJudge(confidence)
    seen = set()
    for _ in range(300):
        shift = Shift()
        for _ in range(chance.randint(1, 25)):
            shift.add(chance.gauss(10, 2), chance.gauss(12, 2))
            low, _high = shift.interval(confidence)
            exceeds = low is not None and low > 0.25 * abs(shift.estimate or 0) and shift.score > -math.inf
            assert (shift.score >= judge.quantile) == exceeds
            seen.add(exceeds)
    assert seen == {True, False}


def release(gray: list[float], stable: list[float]) -> list[Observation]:
    return [
        Observation(
            60 * n, 60 * n + 60, 5, {"errors": ArmCounts(1000, one)}, {"errors": ArmCounts(1000, other)}
        )
        for n, (other, one) in enumerate(zip(gray, stable, strict=True))
    ]


POLICY = JudgePolicy((MetricPolicy("errors"),))


def test_gray_clearly_above_stable_fails_as_soon_as_ranks_can_tell() -> None:
    high = release([20 + n % 3 for n in range(20)], [10 + n % 4 for n in range(20)])
    judgement = MannWhitneyJudge()(POLICY, high)
    assert judgement.answer is Answer.FAIL
    assert judgement.seconds == 300, "four values against four cannot reach 98%"
    assert judgement.reason.startswith("errors: high: shift 0.01 (0.007 to 0.012) in 5 intervals")
    assert MannWhitneyJudge()(POLICY, high[:4]).answer is Answer.INCONCLUSIVE


def test_like_arms_and_constant_ones_pass_and_silence_does_not() -> None:
    like = release([10 + n % 4 for n in range(20)], [10 + (n + 2) % 4 for n in range(20)])
    assert MannWhitneyJudge()(POLICY, like).answer is Answer.PASS
    assert MannWhitneyJudge()(POLICY, release([0] * 8, [0] * 8)).answer is Answer.PASS
    silent = [Observation(0, 60, 5, {"errors": ArmCounts(1000, 1)}, {})]
    judgement = MannWhitneyJudge()(POLICY, silent)
    assert judgement.answer is Answer.INCONCLUSIVE
    assert "no data" in judgement.reason
    assert MannWhitneyJudge()(POLICY, []).answer is Answer.INCONCLUSIVE


def test_where_higher_is_better_gray_must_not_be_below() -> None:
    policy = JudgePolicy((MetricPolicy("orders", "value", higher_is="better"),))

    def orders(gray: float) -> list[Observation]:
        return [
            Observation(
                60 * n,
                60 * n + 60,
                5,
                {"orders": ArmCounts(value=100 + n % 5)},
                {"orders": ArmCounts(value=gray + n % 7)},
            )
            for n in range(12)
        ]

    assert MannWhitneyJudge()(policy, orders(50)).answer is Answer.FAIL
    assert MannWhitneyJudge()(policy, orders(200)).answer is Answer.PASS
