"""The only list of concrete plugins that ship with the package."""

from __future__ import annotations

from types import ModuleType

from pipegraft.adapters.build import layer
from pipegraft.adapters.ci import gitlab
from pipegraft.adapters.engine import embedded
from pipegraft.domain.judging import plugin as judges
from pipegraft.stages import iac_bump, image_build, sync_gate

__all__ = ["PLUGINS"]

PLUGINS: tuple[ModuleType, ...] = (image_build, iac_bump, sync_gate, layer, embedded, judges, gitlab)
"""Modules that implement hooks, in the order their values are shown."""
