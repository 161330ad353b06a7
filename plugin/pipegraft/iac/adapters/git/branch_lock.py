"""The queue of this machine's writers: who waits here does not race on the server."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Turns", "is_same_file"]


class Turns:
    """Turns at one branch, kept by a lock file (flock) that ends with its process.

    Nobody waits for ever: after `patience` a writer goes on without a turn, since the push is a
    compare-and-swap anyway.

    Arguments:
        parent: a folder that this user's processes share.
        key: what is written to.
        patience: seconds to wait at most.
    """

    def __init__(self, parent: Path, key: str, patience: float = 60.0) -> None:
        self._file = parent / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.turn"
        self._patience = patience

    @contextlib.contextmanager
    def wait(self) -> Iterator[None]:
        """Hold the turn while the block runs."""
        until = time.monotonic() + self._patience
        held = self._take(until)
        try:
            yield
        finally:
            if held is not None:
                self._file.unlink(missing_ok=True)  # those who wait find out, and meet at a new file
                os.close(held)

    def _take(self, until: float) -> int | None:
        """A descriptor that holds the lock; None if it took too long."""
        while True:
            held = os.open(self._file, os.O_CREAT | os.O_RDWR, 0o600)
            if _try(held) and is_same_file(self._file, held):
                return held
            os.close(held)
            if time.monotonic() >= until:
                return None
            time.sleep(random.uniform(0.01, 0.05))  # noqa: S311 - only to keep writers apart


def is_same_file(path: Path, held: int) -> bool:
    """Whether a path still leads to the open file: its last holder may have removed it."""
    try:
        return path.stat().st_ino == os.fstat(held).st_ino
    except FileNotFoundError:
        return False


def _try(held: int) -> bool:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
