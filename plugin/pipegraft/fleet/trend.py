"""Whether pipelines fail more often since a change, beyond what chance explains."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pipegraft.fleet.model import PipelineRun

__all__ = ["Tally", "Trend", "compare", "tally"]

_CONTROL = 0.1
"""How surely projects with the change must fare worse than those without at the same time: what breaks
everybody's pipelines, a runner or a network, is not the change's fault."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Finished pipelines."""

    passed: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.passed + self.failed

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.passed + other.passed, self.failed + other.failed)

    def __str__(self) -> str:
        return f"{self.failed} of {self.total} failed" if self.total else "none finished"


@dataclass(frozen=True, slots=True)
class Trend:
    """How projects fare since a change.

    Arguments:
        worse: whether they fare worse than before, and worse than those without the change.
        chance: how likely so many failures are if the change does no harm.
        text: the figures, for people.
    """

    worse: bool
    chance: float
    text: str


def tally(runs: Iterable[PipelineRun]) -> Tally:
    """Count what finished."""
    ended = [run.passed for run in runs if run.passed is not None]
    return Tally(sum(ended), len(ended) - sum(ended))


def compare(before: Tally, since: Tally, control: Tally, alpha: float) -> Trend:
    """Compare the pipelines since a change with those before it, and with projects that lack it.

    Fisher's exact test, one-sided (hypergeometric tail). It may be asked again after every pipeline:
    the n-th asks at ``alpha * 6 / (pi * n) ** 2``, which sums to `alpha` over all n (Basel problem).

    Arguments:
        before: the same projects' pipelines before the change.
        since: theirs since.
        control: pipelines of projects without the change, since then.
        alpha: how often a harmless change may be found harmful.
    """
    chance = _tail(before, since)
    spent = alpha * 6 / (math.pi * max(1, since.total)) ** 2
    alone = not control.total or _tail(control, since) <= _CONTROL
    text = f"since: {since}; before: {before}; elsewhere: {control}"
    return Trend(chance <= spent and alone, chance, text)


def _tail(reference: Tally, since: Tally) -> float:
    """Chance of at least as many failures among `since` if failures fall anywhere equally."""
    failed, total = reference.failed + since.failed, reference.total + since.total
    most = min(failed, since.total)
    ways = sum(
        math.comb(failed, here) * math.comb(total - failed, since.total - here)
        for here in range(since.failed, most + 1)
    )
    return ways / math.comb(total, since.total)
