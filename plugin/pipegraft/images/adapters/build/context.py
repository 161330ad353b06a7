"""The files of a build context, for builders to read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO

from pipegraft.core.errors import BuildFailed
from pipegraft.images.build_context import DOCKERFILE
from pipegraft.images.layers import tar_blocks
from pipegraft.images.ports.builders import BuildRequest, ContextEntry

__all__ = ["Opener", "context_blocks", "opener"]

Opener = Callable[[ContextEntry], AbstractContextManager[BinaryIO]]
"""Opens the content of an entry that is a file."""


def context_blocks(request: BuildRequest) -> Iterator[bytes]:
    """A tar archive of the context: exactly what was hashed, and the Dockerfile even where it is ignored."""
    entries = {entry.path: entry for entry in request.entries}
    if DOCKERFILE not in entries:
        content = (request.context / DOCKERFILE).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        entries[DOCKERFILE] = ContextEntry(DOCKERFILE, "file", digest, size=len(content))
    return tar_blocks(tuple(entries.values()), opener(request))


def opener(request: BuildRequest, prefix: str = "") -> Opener:
    """Opens the files of a context for `tar_blocks`.

    Arguments:
        prefix: folder that the entries' paths were put below.
    """

    def open_file(entry: ContextEntry) -> AbstractContextManager[BinaryIO]:
        path = request.context / entry.path.removeprefix(f"{prefix}/" if prefix else "")
        try:
            return path.open("rb")
        except OSError as error:
            raise BuildFailed(f"'{path}' cannot be read: {error.strerror}") from error

    return open_file
