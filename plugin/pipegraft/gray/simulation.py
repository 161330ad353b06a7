"""Whole gray releases by the thousand: the product's own judge and state machine over made-up worlds.

It needs numpy, the optional extra `simulate`. The judge's arithmetic takes arrays instead of numbers here:
one number for each of many releases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipegraft.gray.judging.arithmetic import Number, beta_binomial, exp, log, log1p, where
from pipegraft.gray.judging.conclusion import conclude
from pipegraft.gray.judging.metric_state import ShareRun, Signs
from pipegraft.gray.judging.readings import Draws, wilson
from pipegraft.gray.judging.sequential import answer_of, overdue
from pipegraft.gray.machine import Do, Standing, next_move
from pipegraft.gray.model.judgement import Answer, Evidence, Judgement, JudgePolicy
from pipegraft.gray.model.observation import ArmCounts, Observation
from pipegraft.gray.worlds import Fault, Weather, World

__all__ = ["Tally", "quietly", "simulate"]

_SHIFT = 7
"""Stirling's series is used this far above its argument, where three terms give twelve digits."""


def _lgamma(x: Number) -> Number:
    """Logarithm of the gamma function of numbers above 0, by Stirling's series (DLMF 5.11.1)."""
    y = x + _SHIFT
    below = x * (x + 1.0) * (x + 2.0) * (x + 3.0) * (x + 4.0) * (x + 5.0) * (x + 6.0)
    series = (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / (1260.0 * y * y)) / (y * y)) / y
    return (y - 0.5) * np.log(y) - y + 0.9189385332046727 + series - np.log(below)


def _beta_binomial(a: Number, b: Number, gray: Number, stable: Number) -> Number:
    both = a + b
    return (
        _lgamma(a + gray)
        - _lgamma(a)
        + _lgamma(b + stable)
        - _lgamma(b)
        - _lgamma(both + gray + stable)
        + _lgamma(both)
    )


exp.register(np.ndarray, np.exp)
log.register(np.ndarray, np.log)
log1p.register(np.ndarray, np.log1p)
where.register(np.ndarray, np.where)
beta_binomial.register(np.ndarray, _beta_binomial)


def quietly() -> np.errstate:
    """A context in which the logarithm of 0 is minus infinity without a warning, as the judge expects."""
    return np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore")


_LONGEST = 400
"""Intervals after which a release that is still under way is counted as held."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How simulated releases ended.

    Arguments:
        promoted, taken_back, held: how many.
        looks: median number of intervals of those that were promoted, or taken back if most were.
        requests: median of the requests gray served until then.
    """

    promoted: int
    taken_back: int
    held: int
    looks: float
    requests: float

    @property
    def count(self) -> int:
        """Releases."""
        return self.promoted + self.taken_back + self.held

    def share(self, of: int) -> tuple[float, float, float]:
        """A share with its 95% interval (Wilson)."""
        return of / self.count, *wilson(of, self.count)


class _Batch:
    """Many releases under way."""

    def __init__(self, policy: JudgePolicy, steps: Sequence[int], count: int) -> None:
        self.policy, self.steps = policy, steps
        self.weight = np.full(count, steps[0])
        self.age = np.zeros(count, dtype=int)
        self.served = np.zeros(count)
        self.ends: dict[int, tuple[Do, int, float]] = {}
        self.active = np.ones(count, dtype=bool)
        self._runs = [ShareRun(metric, policy.wander, policy.memory) for metric in policy.metrics]
        self._history: list[list[Draws]] = []

    def see(self, draws: list[Draws], seconds: float) -> None:
        """Take in one interval of every release, judge, and move on."""
        new = (self.age == 0) & (len(self._history) > 0)
        cold = self.age * seconds < self.policy.warm_up
        for run, one in zip(self._runs, draws, strict=True):
            run.see_draws(one, new_weight=new, cold=cold)
        self._history.append(draws)
        self.age += 1
        self.served += draws[0].gray
        signs = [run.signs for run in self._runs]
        for release in np.flatnonzero(self.active & self._interesting(signs, draws)):
            self._move(int(release), [one.of(int(release)) for one in signs], seconds)

    def _interesting(self, signs: list[Signs], draws: list[Draws]) -> Any:
        """Where anything but more observation may come next."""
        policy = self.policy
        needed = log(len(policy.metrics) / policy.alpha)
        fails = np.logical_or.reduce([one.against >= needed for one in signs])
        passes = np.logical_and.reduce([one.in_favour >= -log(policy.alpha) for one in signs])
        dark = np.logical_or.reduce([one.gray == 0 for one in draws])
        return fails | passes | (dark & (self.age >= 3)) | (self.age >= 10)

    def _move(self, release: int, signs: list[Signs], seconds: float) -> None:
        judgement = self._judge(release, signs, seconds)
        standing = Standing("gray", int(self.weight[release]), "step")
        move = next_move(standing, self.steps, judgement, self.policy)
        if move.do is Do.WEIGHT:
            self.weight[release], self.age[release] = move.weight, 0
        elif move.do is not Do.OBSERVE:
            self.active[release] = False
            self.ends[release] = move.do, len(self._history), float(self.served[release])

    def _judge(self, release: int, signs: list[Signs], seconds: float) -> Judgement:
        evidence = []
        for metric, one in zip(self.policy.metrics, signs, strict=True):
            answer, suspicious = answer_of(one, metric, self.policy)
            evidence.append(Evidence(metric.name, answer, "", suspicion="harm" if suspicious else ""))
        if all(one.answer is Answer.PASS for one in evidence) or any(
            one.answer is Answer.FAIL for one in evidence
        ):
            step = [self._observation(release, len(self._history) - 1, seconds)]
        else:
            first = len(self._history) - int(self.age[release])
            step = [self._observation(release, at, seconds) for at in range(first, len(self._history))]
        return overdue(self.policy, conclude(self.policy, step, evidence), signs)

    def _observation(self, release: int, at: int, seconds: float) -> Observation:
        arms: tuple[dict[str, ArmCounts], dict[str, ArmCounts]] = {}, {}
        for metric, draws in zip(self.policy.metrics, self._history[at], strict=True):
            stable, gray = float(draws.stable[release]), float(draws.gray[release])
            if stable or gray:
                arms[0][metric.name] = ArmCounts(stable, float(draws.stable_bad[release]))
                arms[1][metric.name] = ArmCounts(gray, float(draws.gray_bad[release]))
        weight = float(self.weight[release])
        return Observation(at * seconds, (at + 1) * seconds, weight, arms[0], arms[1])


def simulate(
    world: World,
    fault: Fault,
    policy: JudgePolicy,
    steps: Sequence[int],
    *,
    count: int,
    seed: int = 0,
    seconds: float = 60.0,
) -> Tally:
    """Run releases to their ends.

    Arguments:
        world: what they meet.
        fault: what is wrong with the new version.
        policy: how they are judged; as many metrics as the world has rates.
        steps: weights in percent.
        count: releases.
        seed: of their chances.
        seconds: length of an interval.
    """
    weather = Weather(world, fault, count, np.random.default_rng(seed))
    batch = _Batch(policy, steps, count)
    with quietly():
        for _ in range(_LONGEST):
            if not batch.active.any():
                break
            batch.see(weather.next(batch.weight, batch.age), seconds)
    ends = [end[0] for end in batch.ends.values()]
    promoted, back = ends.count(Do.TAKE_OVER), ends.count(Do.ROLL_BACK)
    usual = Do.TAKE_OVER if promoted >= back else Do.ROLL_BACK
    told = [(looks, served) for do, looks, served in batch.ends.values() if do is usual]
    looks, served = (float(np.median(one)) for one in zip(*told, strict=True)) if told else (0.0, 0.0)
    return Tally(promoted, back, count - promoted - back, looks, served)
