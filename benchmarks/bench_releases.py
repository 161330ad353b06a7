"""Whole gray releases with the defaults, an interval of a minute: how they end, with 95% intervals.

Two metrics of 1% bad requests, weights of 5, 25 and 50%. Then what is watched after the promotion (`bake`):
thirty intervals of the new version alone, against what stable showed at the weights.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from pipegraft.gray.analysis import GrayBake
from pipegraft.gray.judgement import Answer, Judgement, JudgePolicy, MetricPolicy
from pipegraft.gray.judging.readings import Draws, wilson
from pipegraft.gray.judging.sequential import nothing_yet, sequential
from pipegraft.gray.observation import ArmCounts, Observation
from pipegraft.gray.ports import Arms, FakeSource
from pipegraft.gray.simulation import FAULTS, WORLDS, Fault, Weather, World, simulate

RELEASES = int(os.environ.get("PIPEGRAFT_BENCH_RELEASES", "200"))
"""Releases a line."""

OFTEN = 10
"""How many times as many in the lines that the bars are about: a version drifts by 20% for an hour."""

STEPS = (5, 25, 50)
SEED = 31
LONG = World(own=0.2, memory=0.95)
GOOD = {name: world for name, world in WORLDS.items() if (world.own, world.memory) != (0.2, 0.95)}
HARD = {
    f"drift 20%, memory 0.95, {requests:,} requests": replace(LONG, requests=requests)
    for requests in (2_000, 20_000)
}
COLD = World(cold=10, fresh=True)
WIDER = {f"drift 30%, memory {memory:g}": World(own=0.3, memory=memory) for memory in (0.0, 0.5, 0.8)}

BEFORE, BAKED = 40, 30
AFTER = {
    "usual": World(),
    "drift 20%, memory 0.95": LONG,
    "day and night": World(day=0.8),
    "an incident in two hours": World(incidents=0.008),
}
"""What a promoted version meets."""


def policy(world: World, warm_up: float = 300.0) -> JudgePolicy:
    """The defaults, at an interval of a minute."""
    metrics = tuple(MetricPolicy(f"metric-{number}") for number in range(len(world.rates)))
    return JudgePolicy(metrics, warm_up=warm_up, deadline=1800.0, deadline_follows=True)


def main() -> None:
    """Print the tables."""
    print(f"{'good versions':<44}{'promoted':>24}{'taken back':>24}{'held':>24}{'minutes':>9}{'of gray':>10}")
    for name, world in GOOD.items():
        _line(name, world, Fault())
    for name, world in HARD.items():
        _line(name, world, Fault(), many=OFTEN)
    print("\nfresh pods to compare with (baseline: fresh), cold for ten intervals")
    _line("good", COLD, Fault())
    _line("good, warm-up: 0s", COLD, Fault(), warm_up=0.0)
    for requests in (2_000, 20_000):
        world = replace(World(fresh=True), requests=requests)
        _line(f"good, {requests:,} requests, no cold start", world, Fault())
        for name in ("x2", "x10 in a quarter", "silent"):
            _line(f"{name}, {requests:,} requests", world, FAULTS[name])
    for requests in (2_000, 6_000, 20_000):
        print(f"\nfaulty versions, {requests:,} requests an interval")
        for name, fault in FAULTS.items():
            _line(name, World(requests=requests), fault)
    print("\ngood versions that drift further than `wander` says")
    for name, world in WIDER.items():
        _line(name, world, Fault())
    _bakes()


def _line(name: str, world: World, fault: Fault, *, many: int = 1, warm_up: float = 300.0) -> None:
    tally = simulate(world, fault, policy(world, warm_up), STEPS, count=many * RELEASES, seed=SEED)
    cells = (_cell(one, tally.count) for one in (tally.promoted, tally.taken_back, tally.held))
    print(f"{name:<44}{''.join(cells)}{tally.looks:>9.0f}{tally.requests:>10,.0f}", flush=True)


def _cell(of: int, count: int) -> str:
    low, high = wilson(of, count)
    return f"{of / count:.1%} ({100 * low:.1f} to {100 * high:.1f})".rjust(24)


def _bakes() -> None:
    print(f"\nbake of {BAKED} intervals, 20,000 requests each, after {BEFORE} at the weights")
    print(f"{'after the promotion':<44}{'taken back':>24}{'median interval':>17}")
    for name, world in AFTER.items():
        _baked(f"good: {name}", world, Fault())
    for name in ("x1.5", "x2", "x3", "outage"):
        _baked(name, World(), FAULTS[name])


def _baked(name: str, world: World, fault: Fault) -> None:
    weather = Weather(world, fault, RELEASES, np.random.default_rng(SEED))
    age = np.full(RELEASES, 99)
    before = [weather.next(np.full(RELEASES, 25), age) for _ in range(BEFORE)]
    after = [weather.next(np.full(RELEASES, 100), age) for _ in range(BAKED)]
    ends = [end for number in range(RELEASES) if (end := _end_of(number, before, after, policy(world)))]
    median = f"{np.median(ends):.0f}" if ends else "-"
    print(f"{name:<44}{_cell(len(ends), RELEASES)}{median:>17}", flush=True)


def _end_of(
    number: int, before: Sequence[Sequence[Draws]], after: Sequence[Sequence[Draws]], rules: JudgePolicy
) -> int:
    """The interval after which one release is taken back; 0 if it is not."""
    names = [metric.name for metric in rules.metrics]
    arms = {
        name: [Arms(ArmCounts(float(one[at].gray[number]), float(one[at].gray_bad[number]))) for one in after]
        for at, name in enumerate(names)
    }
    watch = GrayBake(
        {name: FakeSource(script) for name, script in arms.items()},
        lambda asked, seen: _judged(watch, asked, seen),
        rules,
        list(_observed(number, before, names)),
        0.0,
        long=15,
    )
    watch.begin(0.0)
    looks = (look for look in range(1, BAKED + 1) if watch.look(60.0 * look).answer is Answer.FAIL)
    return next(looks, 0)


def _judged(watch: GrayBake, rules: JudgePolicy, seen: Sequence[Observation]) -> Judgement:
    """The judge, asked only where its answer counts: it takes its time."""
    if any(watch.worse_than_ever(metric) for metric in rules.metrics):
        return sequential(rules, seen)
    return nothing_yet(rules)


def _observed(number: int, before: Sequence[Sequence[Draws]], names: Sequence[str]) -> Iterator[Observation]:
    for at, draws in enumerate(before):
        stable: Mapping[str, ArmCounts] = {
            name: ArmCounts(float(one.stable[number]), float(one.stable_bad[number]))
            for name, one in zip(names, draws, strict=True)
        }
        yield Observation(60.0 * (at - BEFORE), 60.0 * (at - BEFORE + 1), 25, stable)


if __name__ == "__main__":
    main()
