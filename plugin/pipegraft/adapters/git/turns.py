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

__all__ = ["Turns"]


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
        held = os.open(self._file, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            until = time.monotonic() + self._patience
            while not _try(held) and time.monotonic() < until:
                time.sleep(random.uniform(0.01, 0.05))  # noqa: S311 - only to keep writers apart
            yield
        finally:
            os.close(held)


def _try(held: int) -> bool:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
