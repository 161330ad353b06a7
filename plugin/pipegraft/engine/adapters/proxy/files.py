"""The files by which the proxy and its owners know of one another."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipegraft.core.errors import Locked

__all__ = ["ProxyFiles", "fingerprint"]


class ProxyFiles:
    """The files of one proxy process, all named after its configuration.

    Arguments:
        config: the configuration file.
    """

    def __init__(self, config: Path) -> None:
        self.config = config
        self.lock = config.with_suffix(".lock")
        """Locked while the process lives; holds its process id."""
        self.status = config.with_suffix(".status.json")
        """What the process serves: fingerprint of the configuration, addresses as opened, last error."""
        self.log = config.with_suffix(".log")
        """What the process prints."""

    def running(self) -> int | None:
        """Process id of the proxy that serves this file, None if none does."""
        try:
            with self.lock.open("r", encoding="ascii") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(lock.read() or 0) or None
        except FileNotFoundError:
            return None
        return None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the one that serves this file.

        Raises:
            Locked: another process is.
        """
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Locked(
                    f"another proxy serves {self.config} (process {self.running() or 'unknown'})",
                    fix="send it SIGHUP to have it read the file again, or SIGTERM to end it",
                ) from None
            os.truncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode("ascii"))
            yield
        finally:
            os.close(descriptor)


def fingerprint(text: str) -> str:
    """Tells one configuration from another."""
    return hashlib.sha256(text.encode()).hexdigest()
