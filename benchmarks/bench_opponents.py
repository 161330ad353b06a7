"""Rules of other controllers and tests, each with the threshold at which 1% of good releases are taken back.

Errors of 1% at a weight of 5%, sixty looks, one metric. A rule's threshold is the one that its worst world
asks for: nobody knows which one holds. Ours stands in twice: so calibrated, and as it ships.

- `flagger`: the fifth largest share of errors of gray in an interval (failed checks add up to five);
- `argo`: the largest one (`failureLimit: 0`);
- `kayenta`: the Mann-Whitney statistic of both series, judged again at each look;
- `lindon-malek`: the e-process of each error's arm, with a Beta prior (arXiv 2011.03567);
- `log ratio`: the mean logarithm of the ratio over its standard error;
- `told all`: the likelihood ratio of a doubling against equality, told the drift and the memory of the
  world, with a threshold of its own in each: Wald's test, which has the least mean of its level (Wald and
  Wolfowitz, Annals of Mathematical Statistics 19, 1948).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import log
from typing import Any

import numpy as np

from pipegraft.gray.judgement import JudgePolicy, MetricPolicy
from pipegraft.gray.judging.arithmetic import beta_binomial
from pipegraft.gray.judging.hypotheses import Wandering
from pipegraft.gray.judging.metric_state import ShareRun
from pipegraft.gray.judging.readings import Draws
from pipegraft.gray.simulation import Fault, Weather, World, quietly

GOOD = int(os.environ.get("PIPEGRAFT_BENCH_RELEASES", "700"))
"""Good releases in each world."""

FAULTY = GOOD // 4
FALSE = 0.01
LOOKS, WEIGHT = 60, 5
TRAFFIC = (6_000, 60_000)
WORLDS = {
    "drift 10%, memory 0.5": World(rates=(0.01,), own=0.1, memory=0.5),
    "drift 20%, memory 0.8": World(rates=(0.01,), own=0.2, memory=0.8),
    "drift 20%, memory 0.95": World(rates=(0.01,), own=0.2, memory=0.95),
}
PRIOR = 100.0
"""Errors that the prior of Lindon and Malek's process counts for."""

Rule = Callable[[list[Draws]], Iterator[Any]]


def ours(seen: list[Draws]) -> Iterator[Any]:
    """Logarithm of the evidence against gray, look by look."""
    policy = JudgePolicy((MetricPolicy("errors"),))
    run = ShareRun(policy.metrics[0], policy.wander, policy.memory)
    no = np.zeros(len(seen[0].gray), dtype=bool)
    with quietly():
        for draws in seen:
            run.see_draws(draws, new_weight=no, cold=no)
            yield run.signs.against


def flagger(seen: list[Draws], failures: int = 5) -> Iterator[Any]:
    """The share of errors that so many intervals have reached."""
    shares = np.array([one.gray_bad / np.maximum(one.gray, 1.0) for one in seen])
    for look in range(1, len(seen) + 1):
        part = np.sort(shares[:look], axis=0)
        yield part[-failures] if look >= failures else np.full(part.shape[1], -np.inf)


def argo(seen: list[Draws]) -> Iterator[Any]:
    """The largest share of errors so far."""
    return flagger(seen, failures=1)


def kayenta(seen: list[Draws]) -> Iterator[Any]:
    """Mann-Whitney's statistic in deviations, from five intervals on."""
    gray = np.array([one.gray_bad / np.maximum(one.gray, 1.0) for one in seen])
    stable = np.array([one.stable_bad / np.maximum(one.stable, 1.0) for one in seen])
    above = np.zeros(gray.shape[1])
    for look in range(len(seen)):
        above += (gray[look] > stable[: look + 1]).sum(axis=0) + (gray[:look] > stable[look]).sum(axis=0)
        count = look + 1
        z = (above - count**2 / 2) / np.sqrt(count**2 * (2 * count + 1) / 12)
        yield z if count >= 5 else np.full_like(z, -np.inf)


def lindon_malek(seen: list[Draws]) -> Iterator[Any]:
    """Logarithm of the e-value of gray's share of the errors being another one, where it is larger."""
    share = WEIGHT / 100
    a, b = np.array(PRIOR * share), np.array(PRIOR * (1 - share))
    gray, stable = np.zeros(len(seen[0].gray)), np.zeros(len(seen[0].gray))
    for one in seen:
        gray, stable = gray + one.gray_bad, stable + one.stable_bad
        null = gray * log(share) + stable * log(1 - share)
        value = beta_binomial(a + 0 * gray, b + 0 * gray, gray, stable) - null
        yield np.where(gray > share * (gray + stable), value, -np.inf)


def log_ratio(seen: list[Draws]) -> Iterator[Any]:
    """Mean of the logarithms of the ratios over its standard error, from five intervals on."""
    gray = np.array([(one.gray_bad + 0.5) / (one.gray + 1.0) for one in seen])
    stable = np.array([(one.stable_bad + 0.5) / (one.stable + 1.0) for one in seen])
    ratios = np.log(gray / stable)
    for look in range(1, len(seen) + 1):
        part = ratios[:look]
        if look < 5:
            yield np.full(part.shape[1], -np.inf)
        else:
            yield part.mean(axis=0) / np.maximum(part.std(axis=0, ddof=1), 1e-9) * look**0.5


def told_all(seen: list[Draws], world: World) -> Iterator[Any]:
    """Logarithm of the likelihood of a doubling over that of equality, if the drift is known."""
    both = world.own * 2**0.5
    doubled, equal = Wandering(log(2.0), both, world.memory), Wandering(0.0, both, world.memory)
    for one in seen:
        odds = np.log(one.gray / one.stable)
        doubled.see(odds, one.gray_bad, one.stable_bad)
        equal.see(odds, one.gray_bad, one.stable_bad)
        yield doubled.score - equal.score


RULES = {
    "ours": ours,
    "flagger": flagger,
    "argo": argo,
    "kayenta": kayenta,
    "lindon-malek": lindon_malek,
    "log ratio": log_ratio,
}


def releases(world: World, factor: float, count: int, seed: int) -> list[Draws]:
    """What so many releases show, look by look."""
    weather = Weather(world, Fault(factor), count, np.random.default_rng(seed))
    weight = np.full(count, WEIGHT)
    return [weather.next(weight, np.full(count, look))[0] for look in range(LOOKS)]


def reached(scores: Iterator[Any], threshold: float, seen: list[Draws]) -> Any:
    """Requests of gray until a threshold is reached; infinite if it is not."""
    served, found = np.zeros(len(seen[0].gray)), np.full(len(seen[0].gray), np.inf)
    for draws, score in zip(seen, scores, strict=True):
        served = served + draws.gray
        found = np.where(np.isinf(found) & (score >= threshold), served, found)
    return found


def largest(scores: Iterator[Any]) -> Any:
    """The largest score of each release."""
    return np.maximum.reduce(list(scores))


def main() -> None:
    """Print one table for each traffic."""
    print(f"errors x2, {FAULTY} releases; thresholds: {FALSE:.0%} of {GOOD} good ones in the worse world")
    for requests in TRAFFIC:
        worlds = {name: replace(world, requests=requests) for name, world in WORLDS.items()}
        good = {name: releases(world, 1.0, GOOD, 101) for name, world in worlds.items()}
        bad = {name: releases(world, 2.0, FAULTY, 102) for name, world in worlds.items()}
        print(f"\n{requests:,} requests an interval: requests of gray until half are taken back (share ever)")
        print(f"{'rule':<16}" + "".join(f"{name:>28}" for name in worlds) + f"{'threshold':>12}")
        for name, rule in RULES.items():
            most = [np.quantile(largest(rule(seen)), 1 - FALSE) for seen in good.values()]
            _print(name, rule, float(max(most)), bad)
            if name == "ours":
                false = ", ".join(f"{np.mean(largest(rule(seen)) >= log(100)):.2%}" for seen in good.values())
                _print("ours, as shipped", rule, log(100), bad, f"   false: {false}")
        told = [_oracle(world, good[name], bad[name]) for name, world in worlds.items()]
        print(f"{'told all':<16}" + "".join(told), flush=True)


def _print(name: str, rule: Rule, threshold: float, bad: dict[str, list[Draws]], more: str = "") -> None:
    cells = [_cell(reached(rule(seen), threshold, seen)) for seen in bad.values()]
    print(f"{name:<16}" + "".join(cells) + f"{threshold:>12.3g}{more}", flush=True)


def _oracle(world: World, good: list[Draws], bad: list[Draws]) -> str:
    threshold = float(np.quantile(largest(told_all(good, world)), 1 - FALSE))
    return _cell(reached(told_all(bad, world), threshold, bad))


def _cell(found: Any) -> str:
    return f"{np.median(found):>18,.0f} ({np.isfinite(found).mean():>6.1%})".rjust(28)


if __name__ == "__main__":
    main()
