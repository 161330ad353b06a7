"""Whole gray releases by the thousand: the product's own judge and state machine over made-up worlds.

It needs numpy, the optional extra `simulate`. The judge's arithmetic takes arrays instead of numbers here:
one number for each of many releases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final

import numpy as np

from pipegraft.gray.judgement import Answer, Evidence, Judgement, JudgePolicy
from pipegraft.gray.judging.arithmetic import Number, beta_binomial, exp, log, log1p, where
from pipegraft.gray.judging.metric_state import ShareRun, Signs
from pipegraft.gray.judging.readings import Draws, wilson
from pipegraft.gray.judging.sequential import answer_of, at_deadline, conclude
from pipegraft.gray.machine import Do, Standing, next_move
from pipegraft.gray.observation import ArmCounts, Observation

__all__ = ["FAULTS", "WORLDS", "Fault", "Tally", "Weather", "World", "quietly", "simulate"]


@dataclass(frozen=True, slots=True)
class World:
    """What a release meets. Deviations are of the logarithm of a rate; times are in intervals.

    Arguments:
        requests: expected in an interval, of both arms together.
        rates: share of bad requests of stable, for each metric.
        own: deviation of one arm alone.
        shared: deviation that both arms have.
        memory: correlation of both from one interval to the next.
        day: by how much the requests swing over 240 intervals, relative.
        incidents: probability that an interval begins an incident of five, which multiplies bad requests by
            eight in both arms.
        bursts: probability that a metric of one arm, whichever, has three times the bad requests
            in an interval.
        cold: how long a weight's fresh pods are slow or fail, fading.
        chill: by how much bad requests are multiplied at its beginning.
        pods: pods of gray, each with a lasting difference of `difference`; 0 for none.
        clump: mean size of the clumps in which bad requests come.
        missing: probability that a source has no data of an interval.
        harmed: how many times the bad requests of both arms rise while gray gets any.
        fresh: whether gray is compared with fresh pods of stable, as cold and with the same weight.
    """

    requests: float = 20_000.0
    rates: tuple[float, ...] = (0.01, 0.01)
    own: float = 0.1
    shared: float = 0.3
    memory: float = 0.5
    day: float = 0.0
    incidents: float = 0.0
    bursts: float = 0.0
    cold: int = 0
    chill: float = 3.0
    pods: int = 0
    difference: float = 0.2
    clump: float = 1.0
    missing: float = 0.0
    harmed: float = 1.0
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the new version, in its first metric.

    Arguments:
        factor: how many times stable's bad requests it has.
        begins: intervals after its first request.
        often: share of the intervals in which it shows.
        leak: relative growth of the factor in an interval.
        only_at: the one weight in percent at which it shows; 0 for all.
        silent: whether gray exports nothing.
        share: a share of bad requests instead of a factor; 0 for none.
    """

    factor: float = 1.0
    begins: int = 0
    often: float = 1.0
    leak: float = 0.0
    only_at: int = 0
    silent: bool = False
    share: float = 0.0


_USUAL: Final = World()

WORLDS: Final = {
    **{f"{requests:,} requests": World(requests=requests) for requests in (20, 200, 2_000, 20_000, 100_000)},
    "five metrics": World(rates=(0.01, 0.003, 0.03, 0.01, 0.01)),
    "no memory, drift 20%": World(own=0.2, memory=0.0),
    "memory 0.8, drift 20%": World(own=0.2, memory=0.8),
    "memory 0.95, drift 20%": World(own=0.2, memory=0.95),
    "rates of 0.1%": World(rates=(0.001, 0.01)),
    "never an error": World(rates=(0.0, 0.01)),
    "day and night": World(day=0.8),
    "bursts": World(bursts=0.02),
    "shared incidents": World(incidents=0.02),
    "cold start, 5 intervals": World(cold=5),
    "little and cold": World(requests=200, cold=5),
    "cold start, 10 intervals": World(cold=10),
    "the same, fresh baseline": World(cold=10, fresh=True),
    "few pods that differ": World(pods=2),
    "clumps of 3": World(clump=3.0),
    "missing data": World(missing=0.2),
}
"""Where a good version must get through."""

FAULTS: Final = {
    "x1.2": Fault(1.2),
    "x1.5": Fault(1.5),
    "x2": Fault(2.0),
    "x3": Fault(3.0),
    "x10": Fault(10.0),
    "outage": Fault(share=0.9),
    "x2 from interval 15": Fault(2.0, begins=15),
    "x3 at 50% only": Fault(3.0, only_at=50),
    "x10 in a quarter": Fault(10.0, often=0.25),
    "leak of 10%": Fault(1.0, leak=0.1),
    "silent": Fault(silent=True),
}
"""What must not get through, where the traffic can show it."""


class Weather:
    """A world as it comes, interval by interval, for many releases at once.

    Arguments:
        world: what it is.
        fault: what is wrong with gray.
        count: releases.
        rng: chance.
    """

    def __init__(self, world: World, fault: Fault, count: int, rng: Any) -> None:
        self._world, self._fault, self._rng = world, fault, rng
        self._count = count
        metrics = len(world.rates)
        self._shared = rng.standard_normal((metrics, count))
        self._own = rng.standard_normal((metrics, 2, count))
        spread = world.difference / sqrt(world.pods) if world.pods else 0.0
        self._lasting = spread * rng.standard_normal((metrics, count))
        self._incident = np.zeros(count, dtype=int)
        self._now = 0

    def next(self, weight: Any, age: Any) -> list[Draws]:
        """What each metric counts in the next interval.

        Arguments:
            weight: percent of the requests for gray, of each release.
            age: intervals since that weight began.
        """
        world, rng, count = self._world, self._rng, self._count
        swing = 1.0 + world.day * np.sin(2 * np.pi * self._now / 240)
        total = world.requests * swing * np.exp(0.2 * rng.standard_normal(count) - 0.02)
        gray = rng.poisson(total * weight / 100).astype(float)
        stable = rng.poisson(total * (weight if world.fresh else 100 - weight) / 100).astype(float)
        self._incident = np.where(rng.random(count) < world.incidents, 5, np.maximum(self._incident - 1, 0))
        storm = np.where(self._incident > 0, 8.0, 1.0) * world.harmed
        chill = np.where(age < world.cold, 1 + (world.chill - 1) * np.exp(-2 * age / max(world.cold, 1)), 1.0)
        found = []
        for number, rate in enumerate(world.rates):
            both = rate * storm * np.exp(world.shared * self._shared[number] - world.shared**2 / 2)
            rates = [both * self._alone(number, arm) for arm in (0, 1)]
            rates[1] = rates[1] * chill * np.exp(self._lasting[number])
            rates[0] = rates[0] * (chill if world.fresh else 1.0)
            if number == 0:
                rates[1] = self._broken(rates[1], weight)
            found.append(self._counted(stable, gray, rates))
        self._now += 1
        self._age_weather()
        return found

    def _alone(self, number: int, arm: int) -> Any:
        """By what a metric of one arm alone is disturbed."""
        burst = np.where(self._rng.random(self._count) < self._world.bursts, 3.0, 1.0)
        return burst * np.exp(self._world.own * self._own[number, arm])

    def _counted(self, stable: Any, gray: Any, rates: Sequence[Any]) -> Draws:
        shown = stable, gray * (not self._fault.silent)
        bad = [self._bad(n, np.minimum(part, 0.95)) for n, part in zip(shown, rates, strict=True)]
        there = self._rng.random(self._count) >= self._world.missing
        return Draws(*(there * one for one in (shown[0], bad[0], shown[1], bad[1])))

    def _broken(self, rates: Any, weight: Any) -> Any:
        fault = self._fault
        shows = (self._rng.random(self._count) < fault.often) & (self._now >= fault.begins)
        shows &= (weight == fault.only_at) | (fault.only_at == 0)
        factor = fault.factor * (1.0 + fault.leak) ** max(self._now - fault.begins, 0)
        worse = np.full_like(rates, fault.share) if fault.share else rates * factor
        return np.where(shows, worse, rates)

    def _bad(self, requests: Any, rates: Any) -> Any:
        clump = self._world.clump
        if clump == 1.0:
            return np.minimum(self._rng.poisson(requests * rates), requests).astype(float)
        clumps = self._rng.poisson(requests * rates / clump)
        return np.minimum(clumps + self._rng.poisson(clumps * (clump - 1.0)), requests).astype(float)

    def _age_weather(self) -> None:
        memory = self._world.memory
        fresh = sqrt(1 - memory**2)
        self._shared = memory * self._shared + fresh * self._rng.standard_normal(self._shared.shape)
        self._own = memory * self._own + fresh * self._rng.standard_normal(self._own.shape)


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

    def __init__(self, policy: JudgePolicy, steps: Sequence[int], count: int, *, fresh: bool) -> None:
        self.policy, self.steps, self.fresh = policy, steps, fresh
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
        return at_deadline(self.policy, conclude(self.policy, step, evidence), signs)

    def _observation(self, release: int, at: int, seconds: float) -> Observation:
        arms: tuple[dict[str, ArmCounts], dict[str, ArmCounts]] = {}, {}
        for metric, draws in zip(self.policy.metrics, self._history[at], strict=True):
            stable, gray = float(draws.stable[release]), float(draws.gray[release])
            if stable or gray:
                arms[0][metric.name] = ArmCounts(stable, float(draws.stable_bad[release]))
                arms[1][metric.name] = ArmCounts(gray, float(draws.gray_bad[release]))
        weight = float(self.weight[release])
        return Observation(at * seconds, (at + 1) * seconds, weight, arms[0], arms[1], self.fresh)


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
    batch = _Batch(policy, steps, count, fresh=world.fresh)
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
