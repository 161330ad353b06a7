"""A disk that takes nothing more: no defect, and often over in a moment."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipegraft.core.errors import OutsideError

__all__ = ["DISK_FIX", "disk_trouble", "needing_disk"]

_OF_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
DISK_FIX = "free some space; what runs goes on, and writing is tried again"


def disk_trouble(error: OSError) -> str:
    """What is wrong with the disk, in one sentence.

    Raises:
        OSError: the same one, if it is about something else.
    """
    if error.errno not in _OF_DISK:
        raise error
    return f"the state cannot be written: {error.strerror}"


@contextmanager
def needing_disk(state: Path) -> Iterator[None]:
    """Nothing can begin without a place to write.

    Raises:
        OutsideError: in place of an OSError of the disk.
    """
    try:
        yield
    except OSError as error:
        raise OutsideError(
            f"{disk_trouble(error)}, in {state}", fix="free some space, then start the engine again"
        ) from error
