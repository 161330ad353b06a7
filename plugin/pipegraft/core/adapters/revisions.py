"""Files of a folder as a commit of its repository has them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pipegraft.core.errors import UsageError

__all__ = ["Revision"]


class Revision:
    """A commit seen from a folder of the repository's work tree.

    Arguments:
        folder: the folder.
        name: a commit, branch or tag, or another name git understands, such as ``HEAD~2``.

    Raises:
        UsageError: the folder is in no repository, or there is no such commit.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self.name = name
        found = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if found.returncode:
            inside = self._run("rev-parse", "--git-dir")
            raise UsageError(
                f"expected a commit '{name}' of the repository at {folder}, found none"
                if inside.returncode == 0
                else f"expected a git repository at {folder}, found: {_said(inside)}",
                fix="name a commit, branch or tag; 'git log' lists commits",
            )
        self.commit = found.stdout.decode().strip()

    def read(self, path: str) -> str | None:
        """Text of a file, None if the commit has none.

        Arguments:
            path: relative to the folder.

        Raises:
            UsageError: it is not UTF-8.
        """
        found = self._run("cat-file", "blob", f"{self.commit}:./{path}")
        if found.returncode:
            return None
        try:
            return found.stdout.decode()
        except UnicodeDecodeError:
            raise UsageError(f"expected {self.name}:{path} to be text in UTF-8") from None

    def names(self, path: str) -> list[str]:
        """Names in a folder of the commit; none if there is no such folder."""
        found = self._run("ls-tree", "--full-tree", "--name-only", "-z", f"{self.commit}:./{path}")
        return [name for name in found.stdout.decode().split("\0") if name] if found.returncode == 0 else []

    def _run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(["git", "-C", str(self._folder), *words], capture_output=True, check=False)
        except FileNotFoundError:
            raise UsageError(
                "expected the program 'git', it is not on PATH", fix="install git 2.30 or newer"
            ) from None


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stderr.decode("utf-8", "replace").strip()
