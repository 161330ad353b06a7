"""What a push brings, as a server's hook sees it before the branches move."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipegraft.adapters.git.process import Git

__all__ = ["Received", "Update", "open_received"]


@dataclass(frozen=True, slots=True)
class Update:
    """One branch that is to move: ``old new reference`` of githooks(5), zeros for none."""

    old: str
    new: str
    reference: str

    @property
    def creates(self) -> bool:
        """Whether the branch is new."""
        return not self.old.strip("0")

    @property
    def deletes(self) -> bool:
        """Whether the branch is to go."""
        return not self.new.strip("0")


class Received:
    """The repository a hook runs in; pushed objects are in quarantine and can be read already.

    Arguments:
        git: runs git with the hook's own environment.
    """

    def __init__(self, git: Git) -> None:
        self._git = git

    def is_rewrite(self, update: Update) -> bool:
        """Whether commits of the branch would be lost."""
        return self._git.run("merge-base", "--is-ancestor", update.old, update.new).code != 0

    def new_commits(self, update: Update) -> Sequence[str]:
        """Commits that the branch does not have yet, oldest first; of a new branch, those that none has.

        What another branch has already may have got there under other rules.
        """
        known = ["--not", "--all"] if update.creates else [f"^{update.old}"]
        return self._git.output("rev-list", "--reverse", update.new, *known).split()

    def changed(self, commit: str) -> Sequence[str]:
        """Paths that a commit changes, seen from its first parent."""
        command = ("diff-tree", "-r", "-z", "--root", "--no-commit-id", "--name-only", "--no-renames")
        parent = self._git.run("rev-parse", "--verify", "--quiet", f"{commit}^1")
        between = [commit] if parent.code else [f"{commit}^1", commit]
        return [path for path in self._git.output(*command, *between).split("\0") if path]

    def read(self, commit: str, path: str) -> str | None:
        """Text of a file at a commit; None if it does not exist or is not text."""
        found = self._git.run("cat-file", "blob", f"{commit}:{path}")
        if found.code:
            return None
        try:
            return found.output.decode()
        except UnicodeDecodeError:
            return None


def open_received(folder: Path | None = None, environment: Mapping[str, str] | None = None) -> Received:
    """The repository of the running hook.

    Arguments:
        folder: a git folder; the one git tells its hooks if None.
        environment: variables, quarantine included; those of this process if None.
    """
    variables = {**(os.environ if environment is None else environment), "LC_ALL": "C"}
    return Received(Git(folder or Path(variables.get("GIT_DIR", ".")).absolute(), variables))
