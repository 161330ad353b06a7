"""Byte streams that are never held in memory as a whole."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO, cast

from pipegraft.core.errors import Damaged

__all__ = ["stream_of", "verified"]

_BUFFER = 1 << 18


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
