"""Finds the repositories that people mean, and keeps what was read of them between two runs."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from git import Head, Repo
from git.exc import GitError

from pipegraft.board.collecting import Remembered
from pipegraft.core.errors import UsageError
from pipegraft.iac.adapters.git.history import LocalArchives
from pipegraft.iac.archive import IacVersions

__all__ = ["find_local", "load_memory", "local_tip", "open_local", "save_memory"]


def find_local(place: Path) -> list[Path]:
    """The repository at a path, or those directly in the folder there.

    Raises:
        UsageError: there is none.
    """
    if _is_repository(place):
        return [place]
    found = sorted(one for one in place.iterdir() if _is_repository(one)) if place.is_dir() else []
    if not found:
        held = "a folder without any" if place.is_dir() else "a file" if place.exists() else "nothing"
        raise UsageError(
            f"expected an IaC repository at {place}, or a folder of some, found {held}",
            fix="name clones, bare repositories, URLs, or a folder that holds repositories",
        )
    return found


def local_tip(place: str, branch: str) -> str | None:
    """The newest commit of a branch of a repository on this machine; None for what is not readable here."""
    if not Path(place).is_dir():
        return None
    try:
        with Repo(place) as repository:
            return Head.dereference_recursive(repository, f"refs/heads/{branch}")
    except (GitError, ValueError, OSError):
        return None


@dataclass(frozen=True, slots=True)
class _Local:
    """`Opened` of a commit of a repository on this machine."""

    archive: IacVersions
    commit: str

    def tip(self) -> str:
        return self.commit

    def close(self) -> None:
        """Nothing was opened."""


def open_local(place: str, tip: str, archives: LocalArchives) -> _Local:
    """What a repository on this machine holds at a commit that `local_tip` answered."""
    with Repo(place) as repository:
        return _Local(archives.open(Path(repository.common_dir), tip), tip)


def load_memory(name: str, variables: Mapping[str, str]) -> Remembered:
    """What was read before for a board of this name; empty the first time."""
    try:
        return Remembered.parse(_memory(name, variables).read_text("utf-8"))
    except OSError:
        return Remembered({})


def save_memory(name: str, variables: Mapping[str, str], remembered: Remembered) -> None:
    """Keep it for the next time; a reader meanwhile sees the old one or the new one."""
    path = _memory(name, variables)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
        file.write(remembered.dump())
    Path(file.name).replace(path)


def _is_repository(place: Path) -> bool:
    return (place / ".git").exists() or ((place / "HEAD").is_file() and (place / "objects").is_dir())


def _memory(name: str, variables: Mapping[str, str]) -> Path:
    """Below ``XDG_CACHE_HOME`` (XDG Base Directory Specification)."""
    caches = Path(variables.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "pipegraft" / f"board-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
