"""The IaC repository: git as the only state, its files at one commit, and what renders them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import TipMoved, UsageError
from pipegraft.core.stage import Connections, Port, StageContext

__all__ = [
    "IAC",
    "RENDERERS",
    "Commit",
    "CommitFiles",
    "Edited",
    "FakeIacRepository",
    "Files",
    "IacBatch",
    "IacBranch",
    "IacHistory",
    "IacRepository",
    "NewerProposed",
    "Renderer",
    "renderers_of",
    "split_path",
]

_TRAILER = re.compile(r"^(?P<key>[A-Za-z0-9][A-Za-z0-9-]*): (?P<value>.*)$", re.MULTILINE)


class NewerProposed(Exception):
    """What is to be written is older than what waits to be merged; nothing was written.

    Arguments:
        commit: object name of what waits.
        number: of its release.
    """

    def __init__(self, commit: str, number: int) -> None:
        super().__init__(f"release {number} waits to be merged")
        self.commit = commit
        self.number = number


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
        """``Key: value`` lines of the last paragraph, the last of a key winning (git-interpret-trailers)."""
        _, *paragraphs = self.message.rstrip().split("\n\n")
        last = paragraphs[-1] if paragraphs else ""
        return {found["key"]: found["value"].strip() for found in _TRAILER.finditer(last)}

    @property
    def subject(self) -> str:
        """First line of the message."""
        return self.message.partition("\n")[0]


class IacRepository(Protocol):
    """One branch of one repository, read at a commit and written by compare-and-swap."""

    def turn(self) -> AbstractContextManager[None]:
        """Wait until other writers on this machine have finished theirs, for a while at most.

        A courtesy that spares lost races; what is written is safe without it.
        """

    def tip(self) -> str:
        """Object name of the branch's newest commit, asked of the remote.

        Raises:
            Unreachable, AccessDenied: the remote cannot be read.
            UsageError: the branch does not exist.
        """

    def read(self, path: str, at: str) -> str | None:
        """Text of a file at a commit that `tip`, `commit` or `log` answered; None if there is no such file.

        Raises:
            Unreachable, AccessDenied: the remote cannot be read.
            UsageError: it is not a text file in UTF-8.
        """

    def files_below(self, folder: str, at: str) -> Mapping[str, bytes]:
        """Every file below a folder at a commit, path → content; empty if there is no such folder.

        Arguments:
            folder: its path; empty for the whole repository.
            at: as for `read`.

        Raises:
            Unreachable, AccessDenied: the remote cannot be read.
        """

    def files_holding(self, words: Sequence[str], at: str) -> Mapping[str, bytes] | None:
        """YAML and JSON files of the whole repository that hold any of the words, path → content.

        Arguments:
            words: as they stand in a line.
            at: as for `read`.

        Returns:
            None where that would take a request for each file.

        Raises:
            Unreachable, AccessDenied: the remote cannot be read.
        """

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
            Locked: another writer holds the branch this moment, or a dead one left its lock.
            Unreachable: no answer; the commit may have arrived nevertheless, so read again.
            AccessDenied: the remote refused this writer.
            UsageError: a path runs through a file, or leaves the repository.
        """


class IacBatch(Protocol):
    """Writes several commits at once."""

    def commit_all(self, commits: Sequence[tuple[Mapping[str, str | None], str]], parent: str) -> list[str]:
        """Write commits one on top of the other, all or none where the remote can.

        Arguments:
            commits: changes and message of each, as for `IacRepository.commit`.
            parent: what the first is written on; the branch must still be there.

        Returns:
            Their object names, in order.

        Raises:
            As `IacRepository.commit`.
        """


class IacHistory(Protocol):
    """What has happened on the branch."""

    def contains(self, revision: str, at: str) -> bool:
        """Whether the commit `at` is `revision` or a descendant of it. Unknown commits: False."""

    def log(self, path: str | None = None, *, limit: int | None = None) -> Sequence[Commit]:
        """First-parent commits, newest first, that changed `path` (all if None)."""


class IacBranch(IacRepository, IacBatch, IacHistory, Protocol):
    """The branch to write and its history."""


IAC: Port[[], IacBranch] = Port("iac-branch")
"""The IaC repository's branch."""


def split_path(path: str) -> list[str]:
    """Parts of a path inside a repository.

    Raises:
        UsageError: it is empty, absolute, leaves the repository or reaches into ``.git``.
    """
    parts = path.split("/")
    if any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts):
        raise UsageError(f"expected a relative path inside the repository, found {path!r}")
    return parts


class FakeIacRepository:
    """A branch in memory: `IacRepository` and `IacHistory` at once.

    Arguments:
        files: path → text of the first commit.
        now: seconds since the epoch; the number of the commit stands for its time if None.
    """

    def __init__(
        self, files: Mapping[str, str] | None = None, now: Callable[[], float] | None = None
    ) -> None:
        self._now = now
        self._trees: dict[str, dict[str, str]] = {}
        self._commits: list[Commit] = []
        self._add(dict(files or {}), "first commit", None)

    def _add(self, tree: dict[str, str], message: str, parent: str | None) -> str:
        content = repr((sorted(tree.items()), message, parent, len(self._commits)))
        name = hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()
        self._trees[name] = tree
        time = self._now() if self._now else float(len(self._commits))
        self._commits.append(Commit(name, parent, message, time))
        return name

    def turn(self) -> AbstractContextManager[None]:
        return nullcontext()

    def tip(self) -> str:
        return self._commits[-1].id

    def read(self, path: str, at: str) -> str | None:
        return self._trees[at].get(path)

    def files_below(self, folder: str, at: str) -> Mapping[str, bytes]:
        start = f"{folder}/" if folder else ""
        return {path: text.encode() for path, text in self._trees[at].items() if path.startswith(start)}

    def files_holding(self, words: Sequence[str], at: str) -> Mapping[str, bytes] | None:
        return _holding(words, self._trees[at])

    def commit(self, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        if parent != self.tip():
            raise TipMoved(f"expected the branch at {parent[:12]}, found {self.tip()[:12]}")
        tree = {
            path: text for path, text in (self._trees[parent] | dict(changes)).items() if text is not None
        }
        folders = {"/".join(parts[:end]) for parts in map(split_path, tree) for end in range(1, len(parts))}
        if both := folders & tree.keys():
            raise UsageError(f"expected {min(both)} to be a folder or a file, found it used as both")
        return self._add(tree, message, parent)

    def paths(self) -> list[str]:
        """Every file of the tip."""
        return sorted(self._trees[self.tip()])

    def commit_all(self, commits: Sequence[tuple[Mapping[str, str | None], str]], parent: str) -> list[str]:
        made: list[str] = []
        for changes, message in commits:
            made.append(self.commit(changes, message, made[-1] if made else parent))
        return made

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


def _holding(words: Sequence[str], texts: Mapping[str, str]) -> dict[str, bytes]:
    manifests = (path for path in texts if path.endswith((".yaml", ".yml", ".json")))
    return {path: texts[path].encode() for path in manifests if any(word in texts[path] for word in words)}


class Files(Protocol):
    """The files of a repository at one commit."""

    def __call__(self, path: str) -> str | None:
        """Text of a file, None if there is none.

        Raises:
            UsageError: it is no text in UTF-8.
        """

    def below(self, folder: str) -> Mapping[str, bytes]:
        """Path → content of every file below a folder; the root is empty."""

    def holding(self, words: Sequence[str]) -> Mapping[str, bytes] | None:
        """As `IacRepository.files_holding`."""


@dataclass(frozen=True, slots=True)
class CommitFiles:
    """`Files` of a branch.

    Arguments:
        repository: the branch.
        at: a commit that it answered.
    """

    repository: IacRepository
    at: str

    def __call__(self, path: str) -> str | None:
        return self.repository.read(path, self.at)

    def below(self, folder: str) -> Mapping[str, bytes]:
        return self.repository.files_below(folder, self.at)

    def holding(self, words: Sequence[str]) -> Mapping[str, bytes] | None:
        return self.repository.files_holding(words, self.at)


@dataclass(frozen=True, slots=True)
class Edited:
    """`Files` with some of them changed.

    Arguments:
        files: as they are.
        changed: path → new text, None where it is gone.
    """

    files: Files
    changed: Mapping[str, str | None] = field(default_factory=dict)

    def __call__(self, path: str) -> str | None:
        return self.changed[path] if path in self.changed else self.files(path)

    def below(self, folder: str) -> Mapping[str, bytes]:
        start = f"{folder}/" if folder else ""
        new = {path: text for path, text in self.changed.items() if path.startswith(start)}
        held = {path: data for path, data in self.files.below(folder).items() if path not in new}
        return held | {path: text.encode() for path, text in new.items() if text is not None}

    def holding(self, words: Sequence[str]) -> Mapping[str, bytes] | None:
        held = self.files.holding(words)
        if held is None:
            return None
        new = {path: text for path, text in self.changed.items() if text is not None}
        return {path: held[path] for path in held if path not in self.changed} | _holding(words, new)


class Renderer(Protocol):
    """A program that renders a folder: ``helm template``, ``kustomize build``."""

    @property
    def name(self) -> str:
        """Its name and version, for records."""

    def render(self, files: Mapping[str, bytes], folder: str, values: Sequence[str] = ()) -> str:
        """Render a folder; nothing is asked of a network.

        Arguments:
            files: path → content of everything that takes part.
            folder: which folder of them; empty for the root.
            values: paths of values files, in the order in which they count.

        Returns:
            The manifests, as YAML documents.

        Raises:
            EditRefused: they cannot be rendered, with the program's words.
            OutsideError: the program did not end in time.
        """


RENDERERS: Port[[], Mapping[str, Renderer]] = Port("renderers")
"""``helm`` and ``kustomize``, those that are there."""


def renderers_of(
    opened: Connections | StageContext, delivery: Delivery, environment: str
) -> Mapping[str, Renderer]:
    """What renders the targets of an environment; an app spec is rendered by Pipegraft itself."""
    declared = delivery.environments.get(environment)
    return opened.open(RENDERERS) if declared and declared.targets else {}
