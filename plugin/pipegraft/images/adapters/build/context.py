"""The files of a build context, for builders to read."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from pipegraft.core.adapters.streams import stream_of
from pipegraft.core.errors import BuildFailed
from pipegraft.images.layers import tar_blocks
from pipegraft.images.ports.builders import BuildRequest, ContextEntry

__all__ = ["Opener", "context_blocks", "opener", "write_context", "write_entries"]

Opener = Callable[[ContextEntry], AbstractContextManager[BinaryIO]]
"""Opens the content of an entry that is a file."""


def context_blocks(request: BuildRequest) -> Iterator[bytes]:
    """A tar archive of the context: exactly what was hashed, and the Dockerfile even where it is ignored."""
    entries = {entry.path: entry for entry in request.entries}
    name = request.dockerfile
    if name not in entries:
        content = (request.context / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        entries[name] = ContextEntry(name, "file", digest, size=len(content))
    return tar_blocks(tuple(entries.values()), opener(request))


def write_context(request: BuildRequest, folder: Path) -> None:
    """Put the context into a folder: exactly what was hashed, modes and times always the same."""
    _unpack(context_blocks(request), folder)


def write_entries(source: Path, entries: tuple[ContextEntry, ...], folder: Path) -> None:
    """Put entries of a further context into a folder."""
    _unpack(tar_blocks(entries, lambda entry: (source / entry.path).open("rb")), folder)


def _unpack(blocks: Iterator[bytes], folder: Path) -> None:
    with stream_of(blocks) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        tar.extractall(folder, filter="fully_trusted")  # noqa: S202 - packed from a folder of this machine


def opener(request: BuildRequest, prefix: str = "") -> Opener:
    """Opens the files of a context for `tar_blocks`.

    Arguments:
        prefix: folder that the entries' paths were put below.
    """

    def open_file(entry: ContextEntry) -> AbstractContextManager[BinaryIO]:
        path = request.context / entry.path.removeprefix(f"{prefix}/" if prefix else "")
        try:
            return path.open("rb")
        except OSError as error:
            raise BuildFailed(f"'{path}' cannot be read: {error.strerror}") from error

    return open_file
