"""Simulated releases: the same judge as one release has, and decisions that an operator would make."""

from __future__ import annotations

import numpy as np
import pytest

from pipegraft.gray.judgement import Answer, JudgePolicy, MetricPolicy
from pipegraft.gray.judging.metric_state import ShareRun
from pipegraft.gray.judging.readings import Draws
from pipegraft.gray.judging.sequential import answer_of
from pipegraft.gray.simulation import FAULTS, WORLDS, Fault, Weather, World, quietly, simulate

RELEASES = 40


def policy(world: World, warm_up: float = 300.0) -> JudgePolicy:
    """The defaults, at an interval of a minute."""
    metrics = tuple(MetricPolicy(f"metric-{number}") for number in range(len(world.rates)))
    return JudgePolicy(metrics, warm_up=warm_up, deadline=1800.0, deadline_follows=True)


@pytest.mark.parametrize("fault", ["x1.5", "x3", "x10 in a quarter", "outage"])
def test_many_releases_at_once_are_judged_as_each_one_alone(fault: str) -> None:
    world = World(requests=3_000, rates=(0.01,))
    weather = Weather(world, FAULTS[fault], RELEASES, np.random.default_rng(5))
    metric, rules = MetricPolicy("errors"), policy(world)
    together = ShareRun(metric, rules.wander)
    alone = [ShareRun(metric, rules.wander) for _ in range(RELEASES)]
    for look in range(12):
        (draws,) = weather.next(np.full(RELEASES, 25 if look > 6 else 5), np.full(RELEASES, look))
        new, cold = look == 7, look < 2
        with quietly():
            together.see_draws(draws, new_weight=np.full(RELEASES, new), cold=np.full(RELEASES, cold))
            signs = together.signs
        for release, run in enumerate(alone):
            counts = (draws.stable, draws.stable_bad, draws.gray, draws.gray_bad)
            run.see_draws(Draws(*(float(one[release]) for one in counts)), new_weight=new, cold=cold)
            mine = run.signs
            assert mine.against == pytest.approx(signs.against[release], abs=1e-6)
            assert mine.in_favour == pytest.approx(signs.in_favour[release], abs=1e-6)
            assert (mine.doubtful, mine.excess) == (signs.doubtful[release], signs.excess[release])


@pytest.mark.parametrize(
    "world", ["20 requests", "2,000 requests", "20,000 requests", "cold start, 5 intervals"]
)
def test_good_versions_get_through(world: str) -> None:
    found = simulate(WORLDS[world], Fault(), policy(WORLDS[world]), (5, 25, 50), count=40, seed=1)
    assert found.promoted >= 39, found


@pytest.mark.parametrize(
    ("fault", "requests"),
    [
        ("x2", "20,000"),
        ("x10 in a quarter", "2,000"),
        ("silent", "20,000"),
        ("outage", "20,000"),
        ("x3 at 50% only", "20,000"),
    ],
)
def test_bad_versions_do_not(fault: str, requests: str) -> None:
    world = WORLDS[f"{requests} requests"]
    found = simulate(world, FAULTS[fault], policy(world), (5, 25, 50), count=40, seed=1)
    assert found.promoted <= 1, found
    assert found.taken_back >= 36, found


def test_more_errors_of_gray_never_turn_a_failure_into_a_pass() -> None:
    """Erratic histories: jumps, rare spikes, an awful beginning; errors are added to one interval of each."""
    count, looks, rng = 1_500, 30, np.random.default_rng(8)
    share = rng.choice([0.05, 0.25, 0.5], count)
    requests = np.exp(rng.uniform(np.log(2_000), np.log(60_000), count))
    rate = np.exp(rng.uniform(np.log(0.002), np.log(0.05), count))
    kind, mean = rng.integers(0, 3, count), np.exp(rng.uniform(np.log(0.8), np.log(3), count))
    jumps = np.exp(rng.uniform(0.1, 1.2, count) * rng.standard_normal((looks, count)))
    spikes = np.where(rng.random((looks, count)) < 0.25, 10.0, 1.0)
    awful = np.where(np.arange(looks)[:, None] == 0, 15.0, 1.0)
    shape = np.where(kind == 0, jumps, np.where(kind == 1, spikes, awful))
    gray, stable = np.round(requests * share), np.round(requests * (1 - share))
    stable_bad = rng.poisson(stable * rate, (looks, count)).astype(float)
    before = np.minimum(rng.poisson(np.minimum(gray * rate * mean * shape, gray)), gray).astype(float)
    after, at = before.copy(), rng.integers(0, looks, count)
    more = np.ceil(np.exp(rng.uniform(0, 5, count)) * np.maximum(before.mean(0), 1) / 20)
    after[at, np.arange(count)] = np.minimum(after[at, np.arange(count)] + more, gray)

    def answers(bad: np.ndarray) -> list[Answer]:
        metric = MetricPolicy("errors")
        rules, failed = JudgePolicy((metric,)), np.zeros(count, dtype=bool)
        run, no = ShareRun(metric, rules.wander), np.zeros(count, dtype=bool)
        with quietly():
            for look in range(looks):
                run.see_draws(Draws(stable, stable_bad[look], gray, bad[look]), new_weight=no, cold=no)
                failed |= run.signs.against >= np.log(100)
            signs = run.signs
        last = [answer_of(signs.of(release), metric, rules)[0] for release in range(count)]
        return [Answer.FAIL if bad_once else one for bad_once, one in zip(failed, last, strict=True)]

    pairs = list(zip(answers(before), answers(after), strict=True))
    assert sum(one is Answer.FAIL for one, _ in pairs) > 500
    assert (Answer.FAIL, Answer.PASS) not in pairs
