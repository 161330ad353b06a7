"""Which third-party plugins are installed: entry points of our group, found quickly where there are none."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from pipegraft.core.hookspecs import PROJECT

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["installed_plugins"]


def installed_plugins() -> Iterable[EntryPoint]:
    """The entry points of our group, without the cost of `importlib.metadata` where there surely are none."""
    if not (_unusual_finders() or any(map(_declares_plugins, sys.path))):
        return ()
    return entry_points(group=PROJECT)


def _unusual_finders() -> bool:
    usual = (BuiltinImporter, FrozenImporter, PathFinder)
    return any(hasattr(finder, "find_distributions") for finder in sys.meta_path if finder not in usual)


def _declares_plugins(folder: str) -> bool:
    """Whether a distribution in a folder of `sys.path` may have entry points of our group."""
    try:
        names = os.listdir(folder or ".")  # noqa: PTH208 - a Path for each of hundreds of names costs more
    except FileNotFoundError:
        return False
    except OSError:
        return True  # an archive, perhaps
    described = (name for name in names if name.lower().endswith(("dist-info", "egg-info")))
    return any(_mentions_us(Path(folder, name, "entry_points.txt")) for name in described)


def _mentions_us(file: Path) -> bool:
    try:
        return f"[{PROJECT}]".encode() in file.read_bytes()
    except OSError:
        return False
