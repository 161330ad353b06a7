"""A throwaway bare repository for the life of one process, and the removal of what dead ones left."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
import weakref
from pathlib import Path

from pipegraft.iac.adapters.git.branch_lock import is_same_file

__all__ = ["Workspace", "private_folder"]


class Workspace:
    """A folder nobody else uses, gone when this process is.

    Beside each folder lies a lock file that its process holds (flock). A folder whose lock can be
    taken belongs to nobody any more; whoever comes next removes it.

    Arguments:
        parent: where the folders of all processes of this user lie, see `private_folder`.
    """

    def __init__(self, parent: Path) -> None:
        _sweep(parent)
        while True:
            self.path = parent / secrets.token_hex(8)
            lock = self.path.with_suffix(".lock")
            held = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(held, fcntl.LOCK_EX)
            if is_same_file(lock, held):  # else another process swept the lock before we held it
                break
            os.close(held)
        self.path.mkdir(mode=0o700)
        self.close = weakref.finalize(self, _remove, self.path, lock, held)
        """Remove the folder now instead of at exit."""


def private_folder() -> Path:
    """A folder for the processes of this user, which nobody else can enter."""
    folder = Path(tempfile.gettempdir()) / f"pipegraft-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or folder.is_symlink():
        return Path(tempfile.mkdtemp(prefix="pipegraft-"))  # somebody else made it: not to be trusted
    return folder


def _sweep(parent: Path) -> None:
    for lock in parent.glob("*.lock"):
        try:
            held = os.open(lock, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            continue
        if is_same_file(lock, held):
            _remove(lock.with_suffix(""), lock, held)
        else:
            os.close(held)


def _remove(folder: Path, lock: Path, held: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.unlink(missing_ok=True)
    os.close(held)
