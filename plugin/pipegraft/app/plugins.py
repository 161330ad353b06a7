"""The rooms' hooks, and the plugins that are installed; what ships is in the package's own entry points."""

from __future__ import annotations

from importlib.metadata import EntryPoint, distribution, entry_points

import pipegraft.appspec.hooks
import pipegraft.ci.hooks
import pipegraft.core.hooks
import pipegraft.gate.hooks
import pipegraft.gray.hooks
import pipegraft.images.hooks
import pipegraft.maturity.hooks
from pipegraft.core.plugins import PROJECT, Plugins

__all__ = ["HOOKS", "installed_plugins", "shipped_plugins"]

HOOKS = (
    pipegraft.core.hooks,
    pipegraft.ci.hooks,
    pipegraft.images.hooks,
    pipegraft.gate.hooks,
    pipegraft.gray.hooks,
    pipegraft.appspec.hooks,
    pipegraft.maturity.hooks,
)
"""The modules that specify hooks, one for each room that has any."""


def installed_plugins() -> Plugins:
    """Everything that ships with the package and everything installed beside it."""
    found = entry_points()
    return Plugins(HOOKS, [entry for group in sorted(found.groups) for entry in found.select(group=group)])


def shipped_plugins(*more: EntryPoint) -> Plugins:
    """What ships with the package alone, and those given."""
    return Plugins(HOOKS, [*distribution(PROJECT).entry_points, *more])
