"""Reading a build context from disk: what counts of a folder, and what it holds."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipegraft.core.errors import UsageError
from pipegraft.images.ignore import IgnoreRules, Matches
from pipegraft.images.ports.builders import DOCKERFILE, ContextEntry

__all__ = ["BuildContext", "read_context"]

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


def read_context(folder: Path, dockerfile: str = DOCKERFILE) -> BuildContext:
    """Read a component's folder.

    ``<Dockerfile>.dockerignore`` is used instead of ``.dockerignore`` where it exists. `.git` and
    `.pipegraft` do not count unless a ``!`` pattern says so; the ignore files themselves never do.

    Arguments:
        folder: the component's.
        dockerfile: path of the Dockerfile in it; it need not be there.

    Raises:
        UsageError: the folder is missing, or holds what an image cannot.
        ConfigError: an ignore pattern cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(f"expected a component's folder at {folder}, found none", fix="correct its 'path'")
    try:
        return _read(folder, dockerfile)
    except OSError as error:
        raise UsageError(f"'{error.filename}' cannot be read: {error.strerror}") from error


def _read(folder: Path, name: str) -> BuildContext:
    dockerfile = folder / name
    specific = folder / f"{name}{_IGNORE}"
    file = specific if dockerfile.is_file() and specific.is_file() else folder / _IGNORE
    rules = IgnoreRules(_text(file) or "", str(file), before=_ALWAYS)
    skipped = {_IGNORE, f"{name}{_IGNORE}"}
    found = {path: item for path, item in _walk(folder, "", rules) if path not in skipped}
    entries = [entry for path, item in found.items() if (entry := _entry_unread(item, path))]
    read = {entry.path for entry in entries}
    entries += _read_files({path: item for path, item in found.items() if path not in read})
    return BuildContext(tuple(sorted(entries)), _text(dockerfile))


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode()  # line ends as they are
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise UsageError(f"expected UTF-8 text in {path}: {error}") from error


def _walk(
    folder: Path, prefix: str, rules: IgnoreRules, above: Matches = ()
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as found:
        for item in found:
            path = prefix + item.name
            ignored, matches = rules.look(path, above)
            is_folder = item.is_dir(follow_symlinks=False)
            if is_folder and (not ignored or rules.has_exceptions):
                yield from _walk(Path(item.path), f"{path}/", rules, matches)
            if not ignored:
                yield path, item


def _entry_unread(item: os.DirEntry[str], path: str) -> ContextEntry | None:
    """What is known of an entry without reading it; None for a file that must be read."""
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
    return None


def _read_files(items: Mapping[str, os.DirEntry[str]]) -> list[ContextEntry]:
    def read(path: str) -> ContextEntry:
        with Path(items[path].path).open("rb", buffering=0) as stream:
            status = os.fstat(stream.fileno())
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        return ContextEntry(path, "file", content, bool(status.st_mode & stat.S_IXUSR), status.st_size)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing leaves the interpreter free
        return list(pool.map(read, items))
