"""A source repository whose `delivery.yaml` was read, and what rooms and plugins check of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import Problem
from pipegraft.core.plugins import Plugins
from pipegraft.core.yaml_positions import Marked

__all__ = ["DeliveryCheck", "Project"]


@dataclass(frozen=True, slots=True)
class Project:
    """One application's source repository.

    Arguments:
        root: its folder.
        delivery: what `delivery.yaml` declares.
        plugins: everything that can be used for it.
    """

    root: Path
    delivery: Delivery
    plugins: Plugins


@dataclass(frozen=True, slots=True)
class DeliveryCheck:
    """Something that is checked of ``delivery.yaml`` beside its shape.

    Arguments:
        name: of what is checked, unique over all plugins.
        problems: the project and its file with the places of everything in it → what is wrong. A part of the
            delivery that is wrong by itself raises `UnknownValue` when it is used, which ends the check: what
            is checked of different parts belongs in `pipegraft.core.faults.as_far_as_known`, each by itself.
    """

    name: str
    problems: Callable[[Project, Marked], Iterable[Problem]]
