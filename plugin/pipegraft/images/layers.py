"""Layers: which entries go where, their tar bytes, the same on every machine, and unpacking them again."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import platform
import posixpath
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

from pipegraft.core.errors import BuildFailed, OutsideError
from pipegraft.images.documents import LAYER, LAYER_GZIP, read_image
from pipegraft.images.hooks import ContextEntry
from pipegraft.images.ports import Descriptor, Registry

__all__ = ["place", "shard", "tar_blocks", "unpack"]

_SHARD = 4 << 20
"""Bytes a shard aims at: small enough to be worth sending alone, large enough to be few."""
_MOST_SHARDS = 64
"""An image may have 127 layers on overlayfs; half of them are left to the base."""
_CHUNK = 1 << 20
_TYPES = {"file": b"0", "folder": b"5", "link": b"2"}
"""Values of `typeflag` (POSIX.1, pax interchange format)."""
_BLOCK = 512
"""A tar archive is made of blocks of this size."""

_LAYERS = (LAYER, LAYER_GZIP, "application/vnd.docker.image.rootfs.diff.tar.gzip")
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_HOSTILE = "do not use this image: no honest tool makes such a layer"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_PLATFORM = f"linux/{_ARCHITECTURES.get(platform.machine(), platform.machine())}"
"""This machine's, in Go's words, which images use."""
_MOST_LINKS = 40
"""How many symbolic links one path may lead through, as in the kernel."""
_MOST_BYTES = 16 << 30
"""Of an image that is unpacked; a disk that has less than twice as much free is filled by half."""
_MOST_ENTRIES = 1_000_000
_MOST_HEAD = 1 << 20
"""Bytes ahead of one entry: its header with long names and attributes."""
_READ_AHEAD = 1 << 14
"""Bytes that tarfile may have read beyond an entry."""


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


def unpack(registry: Registry, repository: str, digest: str, folder: Path) -> None:
    """Unpack an image; `folder` appears whole or not at all.

    Every byte is verified against its digest. No entry can be written, linked or removed outside of
    `folder`. Owners and set-id bits are dropped. What would fill the disk or the memory is refused before
    it does. A folder that exists is taken as unpacked before.

    Arguments:
        digest: of the image's manifest, or of an index that has one for this machine.
        folder: where to; its parent must exist.

    Raises:
        OutsideError: something is missing, damaged, or not an image this machine can use.
    """
    if folder.exists():
        return
    arriving = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        budget = _Budget(min(_MOST_BYTES, shutil.disk_usage(arriving).free // 2))
        for layer in read_image(registry, repository, digest, _PLATFORM).layers:
            _apply(registry, repository, layer, arriving, budget)
        arriving.chmod(0o755)
        try:
            arriving.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was faster, with the same content
                raise
    finally:
        shutil.rmtree(arriving, ignore_errors=True)


class _Budget:
    """What an image may still take.

    Arguments:
        left: bytes of all its files.
    """

    def __init__(self, left: int) -> None:
        self._left = left
        self._entries = _MOST_ENTRIES

    def take(self, member: tarfile.TarInfo) -> None:
        """Count an entry.

        Raises:
            OutsideError: there is no room for it.
        """
        self._left -= member.size
        self._entries -= 1
        if member.size < 0:
            raise OutsideError(f"'{member.name}' has less than no bytes", fix=_HOSTILE)
        if self._left < 0 or self._entries < 0:
            raise OutsideError(
                f"'{member.name}' does not fit: the image holds more than {_MOST_BYTES >> 30} GiB, "
                f"{_MOST_ENTRIES} entries or half of the disk's free space",
                fix="make room, or a smaller image",
            )


class _Metered(io.RawIOBase):
    """The bytes of an archive, as many as its next entry may have.

    Arguments:
        stream: where they come from.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.left = _MOST_HEAD

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(size)
        self.left -= len(block)
        if self.left < 0:
            told = f"an entry has more than {_MOST_HEAD} bytes of names and attributes"
            raise OutsideError(told, fix=_HOSTILE)
        return block


def _apply(registry: Registry, repository: str, layer: Descriptor, root: Path, budget: _Budget) -> None:
    if layer.media_type not in _LAYERS:
        raise OutsideError(
            f"layer {layer.digest} is of type {layer.media_type}; known are {', '.join(_LAYERS)}"
        )
    written: set[Path] = set()
    with registry.open(repository, layer.digest) as stream:
        plain = stream if layer.media_type == LAYER else gzip.GzipFile(fileobj=stream)
        metered = _Metered(cast("BinaryIO", plain))
        try:
            with tarfile.open(fileobj=metered, mode="r|") as archive:
                for member in archive:
                    metered.left = member.size + _READ_AHEAD
                    budget.take(member)
                    _write(archive, member, root, written)
                    metered.left = _MOST_HEAD + _READ_AHEAD
        except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, RecursionError) as error:
            raise OutsideError(f"layer {layer.digest} cannot be unpacked: {error}") from error
        while stream.read(1 << 20):  # to its end, where the digest is compared
            pass


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path, written: set[Path]) -> None:
    parts = _parts(member.name)
    if not parts:
        return
    folder = _resolve(root, parts[:-1])
    _make_folder(root, folder)
    target = folder / parts[-1]
    if parts[-1] == _OPAQUE:
        _clear(folder, written)
        return
    if parts[-1].startswith(_WHITEOUT):
        hidden = parts[-1].removeprefix(_WHITEOUT)
        if hidden in ("", ".", ".."):
            raise OutsideError(f"'{member.name}' hides no file", fix=_HOSTILE)
        _remove(folder / hidden)
        return
    written.update((target, *target.parents))
    if not (member.isdir() and target.is_dir() and not target.is_symlink()):
        _remove(target)
    _create(archive, member, root, target)


def _make_folder(root: Path, folder: Path) -> None:
    """Make a folder below `root`, in the place of files that lower layers have on the way."""
    for name in folder.relative_to(root).parts:
        root /= name
        if not root.is_dir():
            root.unlink(missing_ok=True)
            root.mkdir()


def _clear(folder: Path, written: set[Path]) -> None:
    """Remove what lower layers put into a folder."""
    for path in folder.iterdir():
        if path not in written:
            _remove(path)
        elif path.is_dir() and not path.is_symlink():
            _clear(path, written)


def _create(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path, target: Path) -> None:
    if member.isdir():
        target.mkdir(exist_ok=True)
        target.chmod(member.mode & 0o777 | 0o700)
    elif member.issym():
        target.symlink_to(member.linkname)
    elif member.islnk() and (parts := _parts(member.linkname)):
        os.link(_resolve(root, parts[:-1]) / parts[-1], target, follow_symlinks=False)
    elif member.isreg() and not member.issparse():
        content = archive.extractfile(member)
        assert content is not None  # noqa: S101 - tarfile answers one for every regular file
        with content, target.open("xb") as out:
            shutil.copyfileobj(content, out, 1 << 20)
        target.chmod(member.mode & 0o777 | 0o600)
    else:
        raise OutsideError(
            f"'{member.name}' is no file, folder or link, which is not unpacked",
            fix="build the image without it",
        )


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise OutsideError(f"'{name}' leads out of the image", fix=_HOSTILE)
    return parts


def _resolve(root: Path, parts: Sequence[str]) -> Path:
    """The folder that `parts` lead to when `root` is taken as the root of all links."""
    waiting, reached, links = list(reversed(parts)), root, 0
    while waiting:
        part = waiting.pop()
        if part == "..":
            reached = root if reached == root else reached.parent
            continue
        step = reached / part
        if not step.is_symlink():
            reached = step
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OutsideError(f"'{'/'.join(parts)}' leads through too many symbolic links")
        target = str(step.readlink())
        if target.startswith("/"):
            reached = root
        waiting += [one for one in reversed(target.split("/")) if one not in ("", ".")]
    return reached


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
