"""Waves: which projects a change reaches first."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from pipegraft.core.errors import UsageError
from pipegraft.fleet.model import ForgeProject

__all__ = ["in_order", "leave_out", "matches", "out_of_reach", "parse_steps", "wave_sizes"]


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
