"""What has happened on a branch, read with no more of its history than the question needs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipegraft.iac.adapters.git.objects import Objects, parse_tree
from pipegraft.iac.adapters.git.process import Git
from pipegraft.iac.adapters.git.remotes import Remote
from pipegraft.iac.ports.repository import Commit, split_path

__all__ = ["History"]

_LOG_FORMAT = "%H%x00%P%x00%ct%x00%an <%ae>%x00%B"
_LOG_FIELDS = 5
_FULL_NAME = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_DEPTHS = (64, 1024, 16384, None)
"""How many generations to ask for, one after the other, until the answer is certain."""


class History:
    """`IacHistory` over git.

    Arguments:
        git: our own folder.
        objects: what it holds.
        remote: where the branch lives.
        branch: its short name.
    """

    def __init__(self, git: Git, objects: Objects, remote: Remote, branch: str) -> None:
        self._git = git
        self._objects = objects
        self._remote = remote
        self._branch = branch

    def contains(self, revision: str, at: str) -> bool:
        if not (_FULL_NAME.fullmatch(revision) and _FULL_NAME.fullmatch(at)):
            return False
        answer = True if revision == at else self._compare(revision, at)
        for depth in _DEPTHS:
            if answer is not None:
                break
            complete = self._remote.bring_history(self._branch, depth)
            answer = self._compare(revision, at)
            if complete:
                break
        return bool(answer)

    def log(self, path: str | None = None, *, limit: int | None = None) -> Sequence[Commit]:
        tip = self._remote.tip(self._branch)
        found: list[Commit] = []
        for depth in _DEPTHS:
            complete = self._remote.bring_history(self._branch, depth)
            if path is not None and self._remote.partial:
                self.bring_trees(path, tip)
            found = self._read(tip, path, None if self._remote.partial else limit)
            if complete or (limit is not None and len(found) >= limit):
                break
        return found[:limit]

    def _compare(self, revision: str, at: str) -> bool | None:
        """Whether `at` descends from `revision`; None if the commits that are here do not tell."""
        if not (self._objects.get(revision) and self._objects.get(at)):
            return None
        if self._is_ancestor(revision, at):
            return True
        return False if self._is_ancestor(at, revision) else None

    def _is_ancestor(self, older: str, newer: str) -> bool:
        return self._git.run("merge-base", "--is-ancestor", older, newer).code == 0

    def _read(self, tip: str, path: str | None, limit: int | None) -> list[Commit]:
        """Commits whose parents are here too; without them git cannot tell what a commit changed."""
        command = ["log", "-z", "--first-parent", f"--format={_LOG_FORMAT}"]
        command += [] if limit is None else [f"--max-count={limit}"]
        command += [tip] if path is None else [tip, "--", f":(literal){path}"]
        fields = self._git.output(*command).split("\0")
        found = [_commit(*fields[at : at + _LOG_FIELDS]) for at in range(0, len(fields) - 1, _LOG_FIELDS)]
        cut = self._git.shallow()
        return [commit for commit in found if commit.id not in cut]

    def bring_trees(self, path: str, tip: str) -> None:
        """Bring the trees on the way to a path, of all commits that are here, one request a level."""
        trees = set(self._git.output("log", "--first-parent", "--format=%T", tip).split())
        for part in split_path(path):
            missing = [name for name in trees if self._objects.get(name) is None]
            if missing:
                self._remote.bring_objects(missing, below=False)
            held = (self._objects.get(name) for name in trees)
            entries = (parse_tree(tree[1], len(tip) // 2).get(part.encode()) for tree in held if tree)
            trees = {entry.name for entry in entries if entry and entry.kind == "tree"}


def _commit(name: str, parents: str, time: str, author: str, message: str) -> Commit:
    return Commit(name, parents.partition(" ")[0] or None, message, float(time), author)
