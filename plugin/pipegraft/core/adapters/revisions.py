"""Files of a folder as a commit of its repository has them."""

from __future__ import annotations

from pathlib import Path

from pipegraft.core.adapters.git_command import Finished, GitCommand
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
        self._git = GitCommand(folder)
        self.name = name
        found = self._git.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if found.code:
            inside = self._git.run("rev-parse", "--git-dir")
            raise UsageError(
                f"expected a commit '{name}' of the repository at {folder}, found none"
                if inside.code == 0
                else f"expected a git repository at {folder}, found: {_said(inside)}",
                fix="name a commit, branch or tag; 'git log' lists commits",
            )
        self.commit = found.text

    def read(self, path: str) -> str | None:
        """Text of a file, None if the commit has none.

        Arguments:
            path: relative to the folder.

        Raises:
            UsageError: it is not UTF-8.
        """
        found = self._git.run("cat-file", "blob", f"{self.commit}:./{path}")
        if found.code:
            return None
        try:
            return found.output.decode()
        except UnicodeDecodeError:
            raise UsageError(f"expected {self.name}:{path} to be text in UTF-8") from None

    def names(self, path: str) -> list[str]:
        """Names in a folder of the commit; none if there is no such folder."""
        found = self._git.run("ls-tree", "--full-tree", "--name-only", "-z", f"{self.commit}:./{path}")
        return [name for name in found.output.decode().split("\0") if name] if found.code == 0 else []


def _said(done: Finished) -> str:
    return done.errors.strip()
