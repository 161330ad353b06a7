"""Finding the packages that an image holds: in the component's folder, and in layers."""

from __future__ import annotations

import posixpath
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import BinaryIO

from pipegraft.images.packages import (
    OS_RELEASE,
    RPM_DATABASES,
    UNREAD_DATABASES,
    is_database,
    is_lock_file,
    read_database,
    read_lock_file,
    system_name,
)
from pipegraft.images.ports.builders import BuildRequest, InstalledPackages, Package
from pipegraft.images.rpm import read_header

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
) -> InstalledPackages:
    """What the distribution's package databases in an image say.

    Arguments:
        layers: each opens one, the lowest first, compressed or not.

    Raises:
        tarfile.TarError: one is damaged.
    """
    files: dict[str, bytes] = {}
    for open_layer in layers:
        with open_layer() as stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
            for member in tar:
                _apply(member, tar, files)
    system = next((system_name(_text(files[name])) for name in OS_RELEASE if name in files), "")
    packages: list[Package] = []
    unread: list[str] = []
    for name, content in sorted(files.items()):
        if is_database(name):
            packages += read_database(name, _text(content), system)
        elif name in RPM_DATABASES:
            try:
                packages += sorted(set(_rpm_packages(content, name, system)))
            except ValueError:
                unread.append(name)
        elif name in UNREAD_DATABASES:
            unread.append(name)
    return InstalledPackages(packages, tuple(unread))


def _rpm_packages(database: bytes, path: str, system: str) -> Iterator[Package]:
    """What RPM's SQLite database lists.

    Raises:
        ValueError: it is none.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rpmdb.sqlite")
        file.write_bytes(database)
        # RPM leaves it in WAL mode, which is read without a log beside it when nobody else can write.
        with closing(sqlite3.connect(f"{file.as_uri()}?immutable=1", uri=True)) as opened:
            try:
                for (header,) in opened.execute("SELECT blob FROM Packages"):
                    package = read_header(header, path, system)
                    if package is not None:
                        yield package
            except sqlite3.Error as error:
                raise ValueError(str(error)) from None


def _text(content: bytes) -> str:
    return content.decode(errors="replace")


def _apply(member: tarfile.TarInfo, tar: tarfile.TarFile, files: dict[str, bytes]) -> None:
    """Keep a file that tells of packages; forget what a layer above takes away (image-spec, layer.md)."""
    path = posixpath.normpath(member.name).lstrip("/")
    folder, name = posixpath.split(path)
    if name.startswith(_WHITEOUT):
        gone = folder if name == ".wh..wh..opq" else posixpath.join(folder, name.removeprefix(_WHITEOUT))
        for known in [one for one in files if one == gone or one.startswith(f"{gone}/")]:
            del files[known]
    elif path in UNREAD_DATABASES:
        files[path] = b""
    elif _tells_of_packages(path) and member.isfile() and member.size <= _LARGEST:
        content = tar.extractfile(member)
        assert content is not None  # noqa: S101 - of a regular file
        files[path] = content.read()


def _tells_of_packages(path: str) -> bool:
    return path in OS_RELEASE or path in RPM_DATABASES or is_database(path)
