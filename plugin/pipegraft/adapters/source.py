"""What git says of the source repository when no CI system says it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipegraft.errors import UsageError
from pipegraft.model.release import Source

__all__ = ["ignored_files", "read_source"]


def read_source(root: Path, number: str | None = None) -> Source:
    """The commit checked out, numbered by how many commits lead to it.

    Arguments:
        root: a folder of the repository.
        number: the release's number, if the user gives one.

    Raises:
        UsageError: not a git repository, without a commit, or a shallow clone, which cannot be counted.
    """
    commit, shallow = _git(root, "rev-parse", "HEAD^{commit}", "--is-shallow-repository").split()
    if number is not None:
        if not number.isdecimal():
            raise UsageError(f"PIPEGRAFT_RELEASE_NUMBER: expected a whole number, found {number!r}")
        return Source(commit=commit, number=int(number), pipeline="local")
    if shallow == "true":
        raise UsageError(
            f"a shallow clone does not say which release is newer: {root}",
            fix="set PIPEGRAFT_RELEASE_NUMBER to a number that rises with every pipeline, or unshallow",
        )
    return Source(commit=commit, number=int(_git(root, "rev-list", "--count", "HEAD")), pipeline="local")


def ignored_files(root: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Those of some files that git is told to ignore; none outside of a repository.

    Arguments:
        root: a folder.
        names: paths relative to it.
    """
    if not names:
        return ()
    words = ["git", "-C", str(root), "check-ignore", "-z", "--stdin"]
    done = subprocess.run(words, input="\0".join(names), capture_output=True, text=True, check=False)
    return tuple(name for name in done.stdout.split("\0") if name)


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(
            f"expected a git repository with a commit at {root}, found: {done.stderr.strip()}",
            fix="run inside the source repository and commit first",
        )
    return done.stdout.strip()
