"""Finding the packages that an image holds: in the component's folder, and in layers."""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import BinaryIO

from pipegraft.domain.images.packages import (
    OS_RELEASE,
    is_database,
    is_lock_file,
    read_database,
    read_lock_file,
    system_name,
)
from pipegraft.ports.images import BuildRequest, Package

__all__ = ["packages_of_context", "packages_of_layers"]

_LARGEST = 64 << 20
"""Bytes of a lock file or database; what is larger is none."""
_WHITEOUT = ".wh."


def packages_of_context(request: BuildRequest) -> tuple[Package, ...]:
    """What the lock files of a build context pin."""
    found: list[Package] = []
    for entry in request.entries:
        if entry.kind == "file" and entry.size <= _LARGEST and is_lock_file(entry.path):
            text = (request.context / entry.path).read_text(encoding="utf-8", errors="replace")
            found += read_lock_file(entry.path, text)
    return tuple(found)


def packages_of_layers(
    layers: Iterable[Callable[[], AbstractContextManager[BinaryIO]]],
) -> tuple[Package, ...]:
    """What the distribution's package databases in an image say.

    Arguments:
        layers: each opens one, the lowest first, compressed or not.

    Raises:
        tarfile.TarError: one is damaged.
    """
    files: dict[str, str] = {}
    for open_layer in layers:
        with open_layer() as stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
            for member in tar:
                _apply(member, tar, files)
    system = next((system_name(files[name]) for name in OS_RELEASE if name in files), "")
    databases = {name: text for name, text in files.items() if is_database(name)}
    return tuple(
        package for name, text in sorted(databases.items()) for package in read_database(name, text, system)
    )


def _apply(member: tarfile.TarInfo, tar: tarfile.TarFile, files: dict[str, str]) -> None:
    """Keep a file that tells of packages; forget what a layer above takes away (image-spec, layer.md)."""
    path = posixpath.normpath(member.name).lstrip("/")
    folder, name = posixpath.split(path)
    if name.startswith(_WHITEOUT):
        gone = folder if name == ".wh..wh..opq" else posixpath.join(folder, name.removeprefix(_WHITEOUT))
        for known in [one for one in files if one == gone or one.startswith(f"{gone}/")]:
            del files[known]
    elif (is_database(path) or path in OS_RELEASE) and member.isfile() and member.size <= _LARGEST:
        content = tar.extractfile(member)
        assert content is not None  # noqa: S101 - of a regular file
        files[path] = content.read().decode(errors="replace")
