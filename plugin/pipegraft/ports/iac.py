"""The IaC repository: git as the only state."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipegraft.errors import TipMoved

__all__ = ["Commit", "FakeIacRepository", "IacHistory", "IacRepository"]


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of the branch.

    Arguments:
        id: full object name.
        parent: object name of the first parent, None for the root commit.
        message: subject, body and trailers as written.
        time: committer time, seconds since the epoch.
        author: ``Name <mail>``.
    """

    id: str
    parent: str | None
    message: str
    time: float = 0.0
    author: str = ""

    @property
    def trailers(self) -> Mapping[str, str]:
        """``Key: value`` lines of the last paragraph, the last of a key winning."""
        found: dict[str, str] = {}
        for line in self.message.rstrip().split("\n\n")[-1].splitlines():
            key, colon, value = line.partition(": ")
            if colon and key and " " not in key:
                found[key] = value.strip()
        return found


class IacRepository(Protocol):
    """One branch of one repository, read at a commit and written by compare-and-swap."""

    def tip(self) -> str:
        """Object name of the branch's newest commit, asked of the remote.

        Raises:
            Unreachable, AccessDenied: the remote cannot be read.
            UsageError: the branch does not exist.
        """

    def read(self, path: str, at: str) -> str | None:
        """Text of the file at a commit that `tip` or `commit` answered, or None if it does not exist."""

    def commit(self, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        """Write one commit on top of `parent` and move the branch to it, or change nothing.

        Arguments:
            changes: path → new text, or None to delete the file; every other file stays.
            message: whole commit message.
            parent: the tip this change was made for.

        Returns:
            Object name of the new commit.

        Raises:
            TipMoved: the branch is not at `parent` any more; read again and try again.
            Unreachable, AccessDenied: the remote refused or did not answer.
        """


class IacHistory(Protocol):
    """What has happened on the branch."""

    def contains(self, revision: str, at: str) -> bool:
        """Whether the commit `at` is `revision` or a descendant of it. Unknown commits: False."""

    def log(self, path: str | None = None, *, limit: int | None = None) -> Sequence[Commit]:
        """First-parent commits, newest first, that changed `path` (all if None)."""


class FakeIacRepository:
    """A branch in memory: `IacRepository` and `IacHistory` at once.

    Arguments:
        files: path → text of the first commit.
    """

    def __init__(self, files: Mapping[str, str] | None = None) -> None:
        self._trees: dict[str, dict[str, str]] = {}
        self._commits: list[Commit] = []
        self._add(dict(files or {}), "first commit", None)

    def _add(self, tree: dict[str, str], message: str, parent: str | None) -> str:
        content = repr((sorted(tree.items()), message, parent, len(self._commits)))
        name = hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()
        self._trees[name] = tree
        self._commits.append(Commit(name, parent, message, float(len(self._commits))))
        return name

    def tip(self) -> str:
        return self._commits[-1].id

    def read(self, path: str, at: str) -> str | None:
        return self._trees[at].get(path)

    def commit(self, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        if parent != self.tip():
            raise TipMoved(f"expected the branch at {parent[:12]}, found {self.tip()[:12]}")
        tree = {
            path: text for path, text in (self._trees[parent] | dict(changes)).items() if text is not None
        }
        return self._add(tree, message, parent)

    def contains(self, revision: str, at: str) -> bool:
        names = [commit.id for commit in self._commits]
        return revision in names and at in names and names.index(revision) <= names.index(at)

    def log(self, path: str | None = None, *, limit: int | None = None) -> Sequence[Commit]:
        changed = [
            commit
            for commit in reversed(self._commits)
            if path is None
            or self._trees[commit.id].get(path) != self._trees.get(commit.parent or "", {}).get(path)
        ]
        return changed[:limit]
