"""Waves: which projects a change reaches first, and whether they fail more often since, beyond chance."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pipegraft.core.errors import UsageError
from pipegraft.fleet.ports import ForgeProject, PipelineRun

__all__ = [
    "Tally",
    "Trend",
    "compare",
    "in_order",
    "leave_out",
    "matches",
    "out_of_reach",
    "parse_steps",
    "tally",
    "wave_sizes",
]


def matches(project: ForgeProject, patterns: Sequence[str]) -> bool:
    """Whether a project's path fits one of the patterns (``*`` and ``?``); no pattern fits all."""
    return not patterns or any(fnmatchcase(project.path, pattern) for pattern in patterns)


def leave_out(project: ForgeProject) -> str:
    """Why a fleet leaves a project alone, empty if it does not."""
    if project.archived:
        return "it is archived"
    if project.fork:
        return "it is a fork"
    return "" if project.branch else "it has no commits"


def out_of_reach(project: ForgeProject) -> str:
    """Why nothing can be proposed to a project, empty if it can."""
    return leave_out(project) or ("" if project.requests else "its merge requests are disabled")


def in_order(projects: Sequence[ForgeProject], change: str) -> list[ForgeProject]:
    """The order in which a change reaches projects: the same at every run, another for every change.

    It is drawn by a digest, so that neither the alphabet nor a person decides who is always first.

    Arguments:
        change: names the change.
    """
    return sorted(projects, key=lambda one: hashlib.sha256(f"{change}\0{one.path}".encode()).digest())


def parse_steps(text: str) -> tuple[float, ...]:
    """Shares of the fleet, as users write them: ``1%,10%,50%,100%``.

    Returns:
        Shares from 0 to 1, rising; the last one is 1.

    Raises:
        UsageError: they do not rise, or do not end at 100%.
    """
    words = [word.strip() for word in text.split(",")]
    found = [float(word[:-1]) / 100 for word in words if re.fullmatch(r"\d+(\.\d+)?%", word)]
    if len(found) != len(words) or found != sorted(set(found)) or found[0] <= 0 or found[-1] != 1:
        raise UsageError(
            f"expected rising shares of the fleet that end at 100%, found {text!r}",
            fix="write for instance --steps 1%,10%,50%,100%",
        )
    return tuple(found)


def wave_sizes(projects: int, steps: Sequence[float]) -> tuple[int, ...]:
    """How many projects have the change after each wave; a wave that would add none is left out."""
    return tuple(dict.fromkeys(math.ceil(projects * step) for step in steps if projects))


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
