"""Judges on simulated releases: false rollbacks, requests to detection, and what little traffic can say.

The baselines are the published rules: Kayenta's (Mann-Whitney, 98%, judged again at each look) and Flagger's
(five failed checks, bounds at twice the usual error share and four times the median).
For the comparison of speed the Mann-Whitney rule gets the confidence at which its own false rollbacks in the
worst of the conditions are as many as the sequential judge's in its worst one, without being told which of
them holds. The column `told` shows it with the confidence that fits each condition alone.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from math import inf

from benchmarks.published_rules import KAYENTA, Shift, flagger_fails
from benchmarks.simulated_releases import BOUNDS, METRICS, Conditions, release

from pipegraft.gray.judgement import Answer, JudgePolicy
from pipegraft.gray.judging.readings import point
from pipegraft.gray.judging.sequential import sequential
from pipegraft.gray.observation import Observation

HEALTHY = int(os.environ.get("PIPEGRAFT_BENCH_RELEASES", "700"))
"""Identical arms, for each of three memories."""

FAULTY = HEALTHY // 7
"""Faulty versions, for each fault and memory."""

PASSES = (5, 10, 20, 40, 60)
"""Looks after which it is asked whether a faulty version would have passed."""

MEMORIES = (0.0, 0.5, 0.8)
FAULTS = {"errors 1% to 2%": {"error_ratio": 2.0}, "p99 +30%": {"latency_ratio": 1.3}}
POLICY = JudgePolicy(METRICS, memory=MEMORIES[-1])


@dataclass(frozen=True, slots=True)
class Trial:
    """One release through all judges.

    Arguments:
        failed_at: requests of gray until the sequential judge failed it; infinite if it did not.
        passed: whether it said pass at any of the looks it was asked at, before that.
        flagger: whether Flagger's rule failed it.
        scores: the largest Mann-Whitney statistic of any metric at each look.
        requests: requests of gray up to each look.
    """

    failed_at: float
    passed: bool
    flagger: bool
    scores: tuple[float, ...]
    requests: tuple[float, ...]

    def high_at(self, quantile: float) -> float:
        """Requests of gray until the Mann-Whitney rule fails it at this quantile."""
        looks = zip(self.scores, self.requests, strict=True)
        return next((requests for score, requests in looks if score >= quantile), inf)


def trial(conditions: Conditions, looks: Sequence[int], seed: int) -> Trial:
    """Simulate one release and judge it.

    Arguments:
        conditions: what it meets.
        looks: when to ask whether it would pass.
        seed: of its chances.
    """
    observations = release(conditions, seed)
    judgement = sequential(POLICY, observations)
    failed = judgement.answer is Answer.FAIL
    before = [look for look in looks if not failed or observations[look - 1].end < judgement.seconds]
    return Trial(
        failed_at=judgement.gray_requests if failed else inf,
        passed=any(sequential(POLICY, observations[:look]).answer is Answer.PASS for look in before),
        flagger=flagger_fails(METRICS, BOUNDS, observations),
        scores=tuple(_scores(observations)),
        requests=tuple(accumulate(observation.gray["errors"].requests for observation in observations)),
    )


def _scores(observations: Sequence[Observation]) -> Iterable[float]:
    shifts = [(metric, Shift()) for metric in METRICS]
    for observation in observations:
        for metric, shift in shifts:
            stable, gray = (point(metric, arm[metric.name]) for arm in (observation.stable, observation.gray))
            if stable is not None and gray is not None:
                shift.add(stable, gray)
        yield max(shift.score for _, shift in shifts)


def main() -> None:
    """Print the three tables."""
    with ProcessPoolExecutor() as pool:

        def simulate(conditions: Conditions, count: int, looks: Sequence[int] = PASSES) -> list[Trial]:
            return list(pool.map(partial(trial, conditions, looks), range(count), chunksize=5))

        usual = Conditions()
        healthy = {memory: simulate(replace(usual, memory=memory), HEALTHY, ()) for memory in MEMORIES}
        _print_false_rollbacks(healthy)
        for requests in (20_000, 6_000):
            trials = simulate(Conditions(requests=requests, memory=MEMORIES[-1]), HEALTHY, ())
            wrong = _share(one.failed_at < inf for one in trials)
            print(f"{MEMORIES[-1]:>7}{wrong:>12.2%}   at {requests:,} requests an interval instead of 60,000")
        false = max(1, *(sum(one.failed_at < inf for one in trials) for trials in healthy.values()))
        told = {memory: _calibrated(trials, false) for memory, trials in healthy.items()}
        _print_detection_heading(max(told.values()), false / HEALTHY)
        for fault, change in FAULTS.items():
            for memory in MEMORIES:
                trials = simulate(replace(usual, memory=memory, **change), FAULTY)
                _print_detection(f"{fault:<17}{memory:>7}", trials, max(told.values()), told[memory])
        print(f"\nlittle traffic: answers by the end, {FAULTY} releases a line; bar: no pass")
        print(f"{'requests an interval':<22}{'errors':>8}{'fail':>8}{'pass':>8}{'inconclusive':>14}")
        for requests in (20, 400):
            for ratio in (1.0, 2.0):
                trials = simulate(Conditions(requests=requests, error_ratio=ratio), FAULTY)
                failed, passed = _share(one.failed_at < inf for one in trials), _passed(trials)
                print(f"{requests:<22}{ratio:>7.0f}%{failed:>8.1%}{passed:>8.1%}{1 - failed - passed:>14.1%}")


def _print_false_rollbacks(healthy: Mapping[float, Sequence[Trial]]) -> None:
    print(f"false rollbacks of identical arms, five metrics, 60 looks, {HEALTHY} releases a line; bar 1%")
    print(f"{'memory':>7}{'sequential':>12}{'mann-whitney':>14}{'flagger':>11}")
    for memory, trials in healthy.items():
        ours = _share(one.failed_at < inf for one in trials)
        high = _share(one.high_at(KAYENTA) < inf for one in trials)
        print(f"{memory:>7}{ours:>12.2%}{high:>14.1%}{_share(one.flagger for one in trials):>11.1%}")


def _calibrated(trials: Sequence[Trial], count: int) -> float:
    """The quantile that so many of the releases reach."""
    return sorted(max(one.scores) for one in trials)[-count]


def _print_detection_heading(quantile: float, false: float) -> None:
    print(f"\nfaulty versions: requests of gray until taken back, median of {FAULTY} releases a line")
    print(
        f"mann-whitney at {quantile:.2f} deviations: {false:.2%} false rollbacks in its worst line, as ours"
    )
    print("bars: ratio 0.50; sequential misses (not taken back by the end) and passes 1%")
    print(
        f"{'fault':<17}{'memory':>7}{'sequential':>12}{'mann-whitney':>14}{'ratio':>7}{'told':>9}"
        f"{'misses':>9}{'passes':>8}{'misses of mann-whitney':>24}"
    )


def _print_detection(line: str, trials: Sequence[Trial], quantile: float, told: float) -> None:
    ours = [one.failed_at for one in trials]
    theirs = [one.high_at(quantile) for one in trials]
    middle, other = statistics.median(ours), statistics.median(theirs)
    print(
        f"{line}{middle:>12,.0f}{other:>14,.0f}{middle / other:>7.2f}"
        f"{statistics.median(one.high_at(told) for one in trials):>9,.0f}"
        f"{_share(one == inf for one in ours):>9.1%}{_passed(trials):>8.1%}"
        f"{_share(one == inf for one in theirs):>24.1%}"
    )


def _passed(trials: Sequence[Trial]) -> float:
    return _share(one.passed for one in trials)


def _share(found: Iterable[bool]) -> float:
    counted = list(found)
    return sum(counted) / len(counted)


if __name__ == "__main__":
    main()
