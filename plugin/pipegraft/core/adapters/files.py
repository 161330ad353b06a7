"""Files that appear whole or not at all, the release record among them, and streams never held as a whole."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from pipegraft.core.errors import Damaged, Place, UsageError
from pipegraft.core.faults import read_json
from pipegraft.core.foreign_text import redacted_data
from pipegraft.core.release import Release

__all__ = [
    "RECORD",
    "FileReleaseStore",
    "hide_run_files",
    "stream_of",
    "verified",
    "write_atomically",
    "write_together",
]

RECORD = ".pipegraft/release.json"
"""Where the record lies, relative to the source repository."""
_FIX = "run image-build first, and carry .pipegraft/release.json to this job as an artifact"
_BUFFER = 1 << 18


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file in one step, keeping its mode; a symbolic link stays and its target is replaced.

    Arguments:
        path: the file; its folder must exist.
        content: every byte of it.

    Raises:
        OSError: nothing was changed.
    """
    target = path.resolve()
    mode = target.stat().st_mode & 0o7777 if target.exists() else 0o666 & ~_umask()
    name = f"{target.parent}/.{target.name}.{os.urandom(6).hex()}"
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(mode)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_together(changes: Mapping[Path, bytes | None]) -> None:
    """Write or delete several files; if one fails, those before it are put back.

    A crash in between leaves every file whole, either old or new, in the order given.

    Arguments:
        changes: file → every byte of it, None to delete it; folders are made and emptied ones removed.

    Raises:
        OSError: nothing was changed.
    """
    done: dict[Path, bytes | None] = {}
    try:
        for path, content in changes.items():
            before = path.read_bytes() if path.exists() else None
            _put(path, content)
            done[path] = before
    except BaseException:
        for path, before in reversed(done.items()):
            with contextlib.suppress(OSError):
                _put(path, before)
        raise


def _put(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
        return
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # a folder in which other files live ends it
        for folder in path.parents:
            folder.rmdir()


_RUN_FILES = """\
# What a run leaves here is of this machine, this file too. The templates beside it are committed.
/.gitignore
/registry/
/release.json
/sync-gate-*
"""


def hide_run_files(folder: Path) -> None:
    """Tell git to leave out of commits what runs write into ``.pipegraft``; a file that is there stays.

    Arguments:
        folder: ``.pipegraft`` of a source repository; made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError), (folder / ".gitignore").open("x", encoding="utf-8") as stream:
        stream.write(_RUN_FILES)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


class FileReleaseStore:
    """`ReleaseStore` in a JSON file.

    Arguments:
        path: the file; its folder is made when needed.
        begin: what the record is until something is saved, whatever the file holds; what it holds if None.
    """

    def __init__(self, path: Path, begin: Release | None = None) -> None:
        self.path = path
        self._begin = begin
        self._last: tuple[bytes, Release] | None = None
        """What the file held when it was last read, and what that says."""

    def load(self) -> Release:
        if self._begin is not None:
            return self._begin
        place = Place(str(self.path))
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            raise UsageError("the release record does not exist", place=place, fix=_FIX) from None
        if self._last is None or self._last[0] != content:
            self._last = content, self._parsed(content)
        return self._last[1]

    def _parsed(self, content: bytes) -> Release:
        found = read_json(Release, content)
        if found.known is None or found.faults:
            first = found.faults[0]
            where = ".".join(map(str, first.route))
            raise UsageError(
                f"expected a release record, found something else ({where or 'JSON'}: {first.message})",
                place=Place(str(self.path)),
                fix="delete it and run image-build again",
            )
        return found.known

    def save(self, release: Release) -> None:
        data = release.model_dump(mode="json")
        shown = redacted_data(data)  # evidence repeats what servers say
        text = release.model_dump_json(indent=2) if shown == data else json.dumps(shown, indent=2)
        content = text.encode() + b"\n"
        if not self._holds(content):
            if self.path.parent.name == ".pipegraft":
                hide_run_files(self.path.parent)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, content)
        self._begin = None

    def _holds(self, content: bytes) -> bool:
        try:
            return self.path.read_bytes() == content
        except OSError:
            return False  # writing says why, if it matters


class _Blocks(io.RawIOBase):
    """Reads what an iterator yields, and closes it."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # no Buffer before 3.12
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        taken = min(len(buffer), len(self._rest))
        memoryview(buffer)[:taken] = self._rest[:taken]
        self._rest = self._rest[taken:]
        return taken

    def close(self) -> None:
        closing = getattr(self._blocks, "close", None)
        if closing is not None:
            closing()
        super().close()


@contextmanager
def stream_of(blocks: Iterable[bytes]) -> Iterator[BinaryIO]:
    """A readable stream of these blocks, read as they are needed."""
    with io.BufferedReader(_Blocks(blocks), _BUFFER) as stream:
        yield cast("BinaryIO", stream)


@contextmanager
def verified(
    source: AbstractContextManager[BinaryIO], digest: str, name: str, size: int | None = None
) -> Iterator[BinaryIO]:
    """A stream that fails at its end, at the latest, if it is not what its digest says.

    Arguments:
        source: what to read.
        digest: ``sha256:…`` that the whole must have.
        name: of the content, for the message.
        size: bytes it must have, None if unknown.

    Raises:
        Damaged: while reading, when the content is cut short or another one.
    """

    def blocks() -> Iterator[bytes]:
        hashed, seen = hashlib.sha256(), 0
        while block := stream.read(_BUFFER):
            hashed.update(block)
            seen += len(block)
            yield block
        if f"sha256:{hashed.hexdigest()}" != digest or size not in (None, seen):
            expected = f"{digest} ({size} bytes)" if size is not None else digest
            raise Damaged(
                f"expected {name} to be {expected}, found sha256:{hashed.hexdigest()} ({seen} bytes)",
                fix="the content is damaged where it is kept: delete it there and build again",
            )

    with source as stream, stream_of(blocks()) as checked:
        yield checked
