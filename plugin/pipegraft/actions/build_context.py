"""Reading a build context from disk: what counts of a folder, and what it holds."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipegraft.domain.images.ignore import IgnoreRules
from pipegraft.errors import UsageError
from pipegraft.ports.images import ContextEntry

__all__ = ["DOCKERFILE", "BuildContext", "read_context"]

DOCKERFILE = "Dockerfile"
_IGNORE = ".dockerignore"
_ALWAYS = (".git", ".pipegraft")
"""History and our own records: with them in it, an image would change with every commit."""


@dataclass(frozen=True, slots=True)
class BuildContext:
    """What a folder gives to a build.

    Arguments:
        entries: everything that is not ignored, sorted by path.
        dockerfile: text of the Dockerfile, None without one.
    """

    entries: tuple[ContextEntry, ...]
    dockerfile: str | None


def read_context(folder: Path) -> BuildContext:
    """Read a component's folder.

    ``<Dockerfile>.dockerignore`` is used instead of ``.dockerignore`` where it exists. `.git` and
    `.pipegraft` do not count unless a ``!`` pattern says so; the ignore files themselves never do.

    Raises:
        UsageError: the folder is missing, or holds what an image cannot.
        ConfigError: an ignore pattern cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(f"expected a component's folder at {folder}, found none", fix="correct its 'path'")
    dockerfile = folder / DOCKERFILE
    specific = folder / f"{DOCKERFILE}{_IGNORE}"
    file = specific if dockerfile.is_file() and specific.is_file() else folder / _IGNORE
    rules = IgnoreRules(_text(file) or "", str(file), before=_ALWAYS)
    skipped = {_IGNORE, specific.name}
    entries = tuple(sorted(entry for entry in _walk(folder, "", rules) if entry.path not in skipped))
    return BuildContext(entries, _text(dockerfile))


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise UsageError(f"expected UTF-8 text in {path}: {error}") from error


def _walk(folder: Path, prefix: str, rules: IgnoreRules) -> Iterator[ContextEntry]:
    with os.scandir(folder) as found:
        for item in found:
            path = prefix + item.name
            ignored = rules.ignores(path)
            is_folder = item.is_dir(follow_symlinks=False)
            if is_folder and (not ignored or rules.has_exceptions):
                yield from _walk(Path(item.path), f"{path}/", rules)
            if not ignored:
                yield _entry(item, path)


def _entry(item: os.DirEntry[str], path: str) -> ContextEntry:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UsageError(f"expected a file name in UTF-8, found {item.path!r}", fix="rename it") from None
    if item.is_symlink():
        return ContextEntry(path, "link", content=str(Path(item.path).readlink()))
    if item.is_dir(follow_symlinks=False):
        return ContextEntry(path, "folder")
    if not item.is_file(follow_symlinks=False):
        raise UsageError(
            f"expected a file, folder or symbolic link at {item.path}, found a socket, pipe or device",
            fix=f"remove it, or name it in {_IGNORE}",
        )
    with Path(item.path).open("rb", buffering=0) as stream:
        status = os.fstat(stream.fileno())
        content = hashlib.file_digest(stream, "sha256").hexdigest()
    return ContextEntry(path, "file", content, bool(status.st_mode & stat.S_IXUSR), status.st_size)
