"""Layers: which entries go where, and their tar bytes, the same on every machine."""

from __future__ import annotations

import hashlib
import posixpath
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import BinaryIO

from pipegraft.core.errors import BuildFailed
from pipegraft.images.ports.builders import ContextEntry

__all__ = ["place", "shard", "tar_blocks"]

_SHARD = 4 << 20
"""Bytes a shard aims at: small enough to be worth sending alone, large enough to be few."""
_MOST_SHARDS = 64
"""An image may have 127 layers on overlayfs; half of them are left to the base."""
_CHUNK = 1 << 20
_TYPES = {"file": b"0", "folder": b"5", "link": b"2"}
"""Values of `typeflag` (POSIX.1, pax interchange format)."""
_BLOCK = 512
"""A tar archive is made of blocks of this size."""


def place(entries: Sequence[ContextEntry], target: str) -> tuple[ContextEntry, ...]:
    """The entries as they stand in the image, below the absolute path `target`."""
    prefix = target.strip("/")
    return tuple(
        replace(entry, path=posixpath.join(prefix, entry.path)) for entry in sorted(entries) if entry.path
    )


def shard(entries: Sequence[ContextEntry]) -> tuple[tuple[ContextEntry, ...], ...]:
    """Divide entries into layers, so that a change touches the layer of the changed path alone.

    A path stays in its shard as long as the sum of all sizes stays within the same power of two.

    Returns:
        Shards in a fixed order; a single one for what is small.
    """
    total = sum(entry.size for entry in entries)
    count = 1
    while count * _SHARD < total and count < _MOST_SHARDS:
        count *= 2
    shards: list[list[ContextEntry]] = [[] for _ in range(count)]
    for entry in sorted(entries):
        number = int.from_bytes(hashlib.sha256(entry.path.encode()).digest()[:4]) % count
        shards[number].append(entry)
    return tuple(tuple(one) for one in shards if one) or ((),)


def tar_blocks(
    entries: Sequence[ContextEntry],
    open_file: Callable[[ContextEntry], AbstractContextManager[BinaryIO]],
) -> Iterator[bytes]:
    """The bytes of a tar archive.

    Entries are sorted by path, parents stand before their children and once, modes are 0755 or 0644,
    time, owner and group are 0; PAX headers appear only for names that USTAR cannot hold.

    Arguments:
        open_file: opens the content of an entry that is a file.

    Raises:
        BuildFailed: a file is not what its entry says: it changed while it was packed.
    """
    for entry in _with_parents(entries):
        yield _header(entry)
        if entry.kind == "file":
            with open_file(entry) as stream:
                yield from _content(entry, stream)
            yield bytes(-entry.size % _BLOCK)
    yield bytes(2 * _BLOCK)


def _with_parents(entries: Sequence[ContextEntry]) -> list[ContextEntry]:
    found = {entry.path: entry for entry in entries}
    for entry in entries:
        parent = posixpath.dirname(entry.path)
        while parent and parent not in found:
            found[parent] = ContextEntry(parent, "folder")
            parent = posixpath.dirname(parent)
    return sorted(found.values())


def _header(entry: ContextEntry) -> bytes:
    info = tarfile.TarInfo(entry.path + "/" * (entry.kind == "folder"))
    info.type = _TYPES[entry.kind]
    info.mode = {"file": 0o755 if entry.executable else 0o644, "folder": 0o755, "link": 0o777}[entry.kind]
    if entry.kind == "link":
        info.linkname = entry.content
    info.size = entry.size
    return info.tobuf(tarfile.PAX_FORMAT, encoding="utf-8", errors="strict")


def _content(entry: ContextEntry, stream: BinaryIO) -> Iterator[bytes]:
    hashed, size = hashlib.sha256(), 0
    while chunk := stream.read(min(_CHUNK, entry.size + 1 - size)):
        hashed.update(chunk)
        size += len(chunk)
        if size > entry.size:
            break
        yield chunk
    if size != entry.size or hashed.hexdigest() != entry.content:
        raise BuildFailed(
            f"'{entry.path}' changed while it was being packed",
            fix="run again when nothing writes into the component's folder",
        )
