"""Take delivery out of a repository's pipeline again."""

from __future__ import annotations

from pathlib import Path

from pipegraft.ci.usecases.ci_files import Graft, find_ci_file, planned
from pipegraft.core.plugins import Plugins

__all__ = ["plan_ejection"]


def plan_ejection(path: Path, plugins: Plugins, ci_system: str | None = None) -> Graft:
    """Plan it; nothing is written before `Graft.write`.

    Arguments:
        path: the repository's folder, or its CI configuration.
        plugins: CI systems.
        ci_system: name of the CI system, if the file's name does not tell.

    Raises:
        UsageError: no configuration, or one that does not parse.
    """
    ci = find_ci_file(path, plugins, ci_system)
    return planned(ci, ci.system.eject(ci.name, ci.text(), ci.read))
