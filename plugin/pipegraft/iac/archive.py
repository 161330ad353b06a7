"""The whole history of an IaC branch, for those who ask about all of it at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pipegraft.iac.ports import Commit, FakeIacRepository

__all__ = ["FakeArchive", "IacArchive", "IacVersions", "Signature", "Signed", "Version"]


@dataclass(frozen=True, slots=True)
class Version:
    """A commit of the branch that changed files that were asked for.

    Arguments:
        commit: the commit.
        contents: path → object name of what it holds from then on, None where it is gone.
        trailers: its own; those of the commit it brought in if it is a merge without any.
    """

    commit: Commit
    contents: Mapping[str, str | None]
    trailers: Mapping[str, str]


class Signed(StrEnum):
    """What git says of a commit's signature (git-log(1), ``%G?``)."""

    GOOD = "good"
    UNTRUSTED = "of a key that is not trusted here"
    UNKNOWN = "of a key that is not known here"
    EXPIRED = "expired"
    REVOKED = "of a revoked key"
    BAD = "bad"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Signature:
    """A commit's signature: what git says of it, and who the key belongs to, if it is known."""

    state: Signed
    by: str = ""


class IacVersions(Protocol):
    """What its files were on one branch, read at once."""

    def versions(self, paths: Sequence[str]) -> Sequence[Version]:
        """First-parent commits, newest first, that changed any of the paths.

        Raises:
            Unreachable, AccessDenied: the remote cannot be read.
            UsageError: the branch does not exist, or its history is cut off.
        """

    def contents(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Object name and text of each content that `versions` answered; what is no text is left out."""

    def files(self) -> Mapping[str, str]:
        """Path → object name of every file at the branch's tip."""


class IacArchive(IacVersions, Protocol):
    """Everything that ever happened on one branch, read at once."""

    def folder(self, path: str) -> Sequence[str]:
        """Names of the files in a folder at the branch's tip; the root is empty."""

    def signatures(self, commits: Sequence[str]) -> Mapping[str, Signature]:
        """What git says of the signatures of commits that `versions` answered."""


class FakeArchive:
    """The history of a branch in memory.

    Arguments:
        branch: the branch.
        signed: commit → its signature; the others have none.
    """

    def __init__(self, branch: FakeIacRepository, signed: Mapping[str, Signature] | None = None) -> None:
        self._branch = branch
        self._signed = dict(signed or {})
        self._texts: dict[str, str] = {}

    def versions(self, paths: Sequence[str]) -> Sequence[Version]:
        found: list[Version] = []
        for commit in self._branch.log():
            held = {path: self._name(path, commit.id) for path in paths}
            before = {path: self._name(path, commit.parent) if commit.parent else None for path in paths}
            changed = {path: name for path, name in held.items() if name != before[path]}
            if changed:
                found.append(Version(commit, changed, commit.trailers))
        return found

    def _name(self, path: str, at: str) -> str | None:
        text = self._branch.read(path, at)
        if text is None:
            return None
        name = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self._texts[name] = text
        return name

    def contents(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        return ((name, self._texts[name]) for name in names)

    def folder(self, path: str) -> Sequence[str]:
        start = f"{path}/" if path else ""
        inside = (name for name in self._branch.paths() if name.startswith(start))
        return sorted(name.removeprefix(start) for name in inside if "/" not in name.removeprefix(start))

    def files(self) -> Mapping[str, str]:
        tip = self._branch.tip()
        held = {path: self._name(path, tip) for path in self._branch.paths()}
        return {path: name for path, name in held.items() if name}

    def signatures(self, commits: Sequence[str]) -> Mapping[str, Signature]:
        return {commit: self._signed.get(commit, Signature(Signed.NONE)) for commit in commits}
