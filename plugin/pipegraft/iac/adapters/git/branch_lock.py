"""The queue of this machine's writers of a branch, and the folders that their processes own."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["BranchLock", "Workspace", "private_folder"]


class BranchLock:
    """Turns at one branch: who waits here does not race on the server.

    Nobody waits for ever: after `patience` a writer goes on without a turn, since the push is a
    compare-and-swap anyway.

    Arguments:
        parent: a folder that this user's processes share.
        key: what is written to.
        patience: seconds to wait at most.
    """

    def __init__(self, parent: Path, key: str, patience: float = 60.0) -> None:
        file = parent / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.turn"
        self._lock = FileLock(file, timeout=patience, poll_interval=0.02)

    @contextlib.contextmanager
    def wait(self) -> Iterator[None]:
        """Hold the turn while the block runs."""
        with contextlib.ExitStack() as held:
            with contextlib.suppress(Timeout):
                held.enter_context(self._lock)
            yield


class Workspace:
    """A folder nobody else uses, gone when this process is.

    Beside each folder lies a lock file that its process holds. A folder whose lock can be taken belongs to
    nobody any more; whoever comes next removes it.

    Arguments:
        parent: where the folders of all processes of this user lie, see `private_folder`.
    """

    def __init__(self, parent: Path) -> None:
        for left in parent.glob("*.lock"):
            lock = FileLock(left, timeout=0, thread_local=False)
            with contextlib.suppress(Timeout), lock:
                _remove(lock)
        lock = FileLock(parent / f"{secrets.token_hex(8)}.lock", thread_local=False)
        lock.acquire()
        self.path = Path(lock.lock_file).with_suffix("")
        self.path.mkdir(mode=0o700)
        self.close = weakref.finalize(self, _remove, lock)
        """Remove the folder now instead of at exit."""


def _remove(lock: FileLock) -> None:
    """Remove a workspace; who waits for its lock file meanwhile finds out and makes another."""
    file = Path(lock.lock_file)
    shutil.rmtree(file.with_suffix(""), ignore_errors=True)
    file.unlink(missing_ok=True)
    lock.release()


def private_folder() -> Path:
    """A folder for the processes of this user, which nobody else can enter."""
    folder = Path(tempfile.gettempdir()) / f"pipegraft-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or folder.is_symlink():
        return Path(tempfile.mkdtemp(prefix="pipegraft-"))  # somebody else made it: not to be trusted
    return folder
