"""The files of one commit, as they are and as an edit makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pipegraft.iac.ports.repository import IacRepository

__all__ = ["CommitFiles", "Edited", "Files"]


class Files(Protocol):
    """The files of a repository at one commit."""

    def __call__(self, path: str) -> str | None:
        """Text of a file, None if there is none.

        Raises:
            UsageError: it is no text in UTF-8.
        """

    def below(self, folder: str) -> Mapping[str, bytes]:
        """Path → content of every file below a folder; the root is empty."""


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
