"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["write_atomically", "write_together"]


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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
