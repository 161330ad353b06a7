"""A copy of a repository's newest files, to look at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipegraft.core.errors import Unreachable
from pipegraft.iac.adapters.git.access import access
from pipegraft.iac.adapters.git.process import Git, git_environment

__all__ = ["clone_newest"]


def clone_newest(repository: str, branch: str, folder: Path, environment: Mapping[str, str]) -> None:
    """Clone a branch without its history.

    Arguments:
        repository: URL.
        folder: where to; it must not exist.
        environment: variables with the credentials, see `access`.

    Raises:
        Unreachable: it could not be read; the folder may hold a part of it.
    """
    reached = access(repository, environment)
    git = Git(None, git_environment(environment, reached.settings, reached.variables), reached.secrets)
    words = ("clone", "-q", "--depth", "1", "--single-branch", "--no-tags", "--branch", branch)
    done = git.run(*words, "--", reached.url, str(folder))
    if done.code:
        raise Unreachable(f"{reached.url} cannot be cloned: {done.errors.strip()}", fix="run this again")
