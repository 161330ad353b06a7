"""The only list of concrete plugins that ship with the package."""

from __future__ import annotations

from types import ModuleType

__all__ = ["PLUGINS"]

PLUGINS: tuple[ModuleType, ...] = ()
"""Modules that implement hooks, in the order their values are shown."""
