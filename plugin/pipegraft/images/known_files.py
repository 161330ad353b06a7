"""Hashes of files that did not change since they were read, as git's index knows them.

A file is taken as unchanged when size, times, inode, device and mode are what they were. The change time
cannot be set by programs, so only a write within the same tick of the file system's clock as the one
before it could go unnoticed. Hashes of files that fresh are therefore not kept (git calls such an entry
racy: git-scm.com, Documentation/technical/racy-git.txt).
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipegraft.images.image_cache import load_kept, save_kept

__all__ = ["KnownFiles"]

_FRESH = 3_000_000_000
"""Nanoseconds; the coarsest file system in use (FAT) counts in two seconds."""
_WORTH_KEEPING = 1 << 20
"""Bytes of a component below which reading it costs no more than remembering it."""


class KnownFiles:
    """Path → hash for the files of one folder; callable from several threads.

    Arguments:
        file: where it is kept; None keeps nothing.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._kept = load_kept(file) if file else {}
        self._began = time.monotonic_ns()
        self._read: dict[str, list[Any]] = {}

    def find(self, path: str, status: os.stat_result) -> str:
        """SHA-256 of a file in hex; empty if it may have changed."""
        kept = self._kept.get(path)
        return str(kept[-1]) if kept and kept[:-1] == _identity(status) else ""

    def remember(self, path: str, content: str, before: os.stat_result, after: os.stat_result) -> None:
        """Keep a hash.

        Arguments:
            before, after: status of the file around the reading; it is not kept if they differ.
        """
        self._kept.pop(path, None)
        if self._file and _identity(before) == _identity(after):
            self._read[path] = [*_identity(before), content]

    def save(self, present: Iterable[str]) -> None:
        """Write down what is kept of the files that are there."""
        if self._file is None:
            return
        paths = set(present)
        kept = {path: known for path, known in self._kept.items() if path in paths}
        size = sum(known[0] for known in (*kept.values(), *self._read.values()))
        if (self._read and size >= _WORTH_KEEPING) or len(kept) < len(self._kept):
            newest = _file_system_time(self._file.parent) - (time.monotonic_ns() - self._began) - _FRESH
            save_kept(
                self._file,
                kept | {path: known for path, known in self._read.items() if max(known[1:3]) <= newest},
            )


def _identity(status: os.stat_result) -> list[int]:
    return [
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        status.st_dev,
        status.st_mode,
    ]


def _file_system_time(folder: Path) -> int:
    """Nanoseconds by the clock that stamps files, which on a network is not this machine's."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as stream:
            return os.fstat(stream.fileno()).st_mtime_ns
    except OSError:
        return 0  # what cannot be dated is fresh
