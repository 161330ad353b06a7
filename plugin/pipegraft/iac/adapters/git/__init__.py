"""The IaC repository over git, by GitPython."""

from __future__ import annotations

from pipegraft.iac.adapters.git.history import LocalArchives
from pipegraft.iac.adapters.git.repository import GitBranch, clone_newest, open_branch

__all__ = ["GitBranch", "LocalArchives", "clone_newest", "open_branch"]
