"""Registries: servers over HTTP, and folders of OCI image layouts (image-spec, image-layout.md).

``FOLDER/<repository>`` is what skopeo, umoci and podman read as ``oci:FOLDER/<repository>:<tag>``.
Any number of processes may use it at once and may be killed at any moment: content appears under
its digest whole or not at all, and the index is replaced in one step under a lock.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

from pipegraft.core.adapters.files import stream_of, verified
from pipegraft.core.errors import AccessDenied, OutsideError, Unreachable, UsageError
from pipegraft.core.model import REGISTRY_HOST
from pipegraft.core.reading import load_json
from pipegraft.images.adapters.registry.endpoint import Endpoint
from pipegraft.images.adapters.registry.http import HttpRegistry
from pipegraft.images.documents import (
    INDEX,
    artifact_type_of,
    canonical_json,
    descriptor_of,
    parse_descriptor,
    show_descriptor,
    subject_of,
)
from pipegraft.images.ports import Descriptor, Referrer, ReferringRegistry
from pipegraft.images.reference import LAYOUT, is_layout

__all__ = ["LayoutRegistry", "open_registry"]

_TAG_OF = "org.opencontainers.image.ref.name"
_LAYOUT_VERSION = b'{"imageLayoutVersion":"1.0.0"}'
_REPOSITORY = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")
_OWN_NAMES = {"blobs", "index.json", "oci-layout"}
_INCOMING = ".incoming-"
_ABANDONED = 24 * 3600.0
"""Seconds after which nobody can still be writing a file."""
_CHUNK = 1 << 20


class LayoutRegistry:
    """A folder of layouts.

    Arguments:
        folder: where they are; made when something is pushed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, repository: str, reference: str) -> Descriptor | None:
        with _outside(self._folder):
            entries = _read_index(self._layout(repository))
        wanted = [entry for entry in entries if reference in (entry["digest"], _tag(entry))]
        return parse_descriptor(wanted[0]) if wanted else None

    def open(
        self, repository: str, digest: str, *, manifest: bool = False
    ) -> AbstractContextManager[BinaryIO]:
        path = _blob(self._layout(repository), digest)
        what = "manifest" if manifest else "blob"
        with _outside(self._folder):
            if not path.exists():
                raise Unreachable(f"expected {what} {digest} in {path.parents[2]}, found none")
            return verified(path.open("rb"), digest, f"{what} {path}")

    def push_blob(
        self,
        repository: str,
        blob: Descriptor,
        source: Callable[[], AbstractContextManager[BinaryIO]],
        *,
        mount_from: str | None = None,
    ) -> int:
        layout = self._layout(repository)
        path = _blob(layout, blob.digest)
        with _outside(self._folder):
            if _holds(path, blob):
                return 0
            held = _blob(self._layout(mount_from.strip("/")), blob.digest) if mount_from else path
            if _holds(held, blob):
                _share(held, layout, path)
                return 0
            _store(layout, blob, source())
        return blob.size

    def push_manifest(self, repository: str, reference: str, manifest: bytes, media_type: str) -> Descriptor:
        layout = self._layout(repository)
        descriptor = descriptor_of(manifest, media_type)
        tag = None if reference == descriptor.digest else reference
        with _outside(self._folder):
            if not _holds(_blob(layout, descriptor.digest), descriptor):
                _store(layout, descriptor, stream_of([manifest]))
            _enter(layout, descriptor, tag)
        return descriptor

    def referrers(self, repository: str, digest: str) -> Sequence[Referrer]:
        layout = self._layout(repository)
        found: list[Referrer] = []
        with _outside(self._folder):
            for descriptor in map(parse_descriptor, _read_index(layout)):
                path = _blob(layout, descriptor.digest)
                content = path.read_bytes() if path.exists() else b"{}"
                if subject_of(content) == digest:
                    found.append(Referrer(descriptor, artifact_type_of(content)))
        return found

    def _layout(self, repository: str) -> Path:
        parts = repository.split("/")
        if not _REPOSITORY.fullmatch(repository) or _OWN_NAMES & set(parts[1:]):
            raise UsageError(f"'{repository}' cannot be a repository of an OCI layout folder")
        return self._folder.joinpath(*parts)


@contextmanager
def _outside(folder: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise AccessDenied(f"the registry folder {folder} may not be used: {error}") from error
    except OSError as error:
        raise OutsideError(f"the registry folder {folder} cannot be used: {error}") from error


def _enter(layout: Path, descriptor: Descriptor, tag: str | None) -> None:
    with FileLock(layout / ".lock", poll_interval=0.01):
        _sweep(layout)
        entries = _read_index(layout)
        changed = _with_entry(entries, descriptor, tag)
        if changed != entries:
            _write_index(layout, changed)


def _share(held: Path, layout: Path, path: Path) -> None:
    with _incoming(layout) as arriving:
        arriving.unlink()
        os.link(held, arriving)
        arriving.replace(path)


def _tag(entry: dict[str, Any]) -> str | None:
    tag: str | None = entry.get("annotations", {}).get(_TAG_OF)
    return tag


def _with_entry(
    entries: list[dict[str, Any]], descriptor: Descriptor, tag: str | None
) -> list[dict[str, Any]]:
    """The index with one more image. An image that loses its last tag stays reachable by digest."""
    entry = show_descriptor(descriptor)
    if tag is None:
        return entries if any(each["digest"] == descriptor.digest for each in entries) else [*entries, entry]
    tagged = {**entry, "annotations": {_TAG_OF: tag}}
    if tagged in entries:
        return entries
    freed = [
        {key: value for key, value in each.items() if key != "annotations"} if _tag(each) == tag else each
        for each in entries
    ]
    named = {each["digest"] for each in [*freed, tagged] if _tag(each) is not None}
    return [each for each in freed if _tag(each) is not None or each["digest"] not in named] + [tagged]


def _blob(layout: Path, digest: str) -> Path:
    algorithm, _, value = digest.partition(":")
    if algorithm != "sha256" or not re.fullmatch(r"[0-9a-f]{64}", value):
        raise UsageError(f"expected a digest sha256:…, found '{digest}'")
    return layout / "blobs" / algorithm / value


def _holds(path: Path, blob: Descriptor) -> bool:
    try:
        return path.stat().st_size == blob.size
    except FileNotFoundError:
        return False


def _read_index(layout: Path) -> list[dict[str, Any]]:
    path = layout / "index.json"
    try:
        entries: list[dict[str, Any]] = load_json(path.read_bytes())["manifests"]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise OutsideError(f"expected an OCI image index in {path}: {error}") from error
    return entries


def _write_index(layout: Path, entries: list[dict[str, Any]]) -> None:
    for name, content in (
        ("oci-layout", _LAYOUT_VERSION),
        ("index.json", canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})),
    ):
        with _incoming(layout) as arriving:
            arriving.write_bytes(content)
            _sync(arriving)
            arriving.replace(layout / name)


def _store(layout: Path, blob: Descriptor, source: AbstractContextManager[BinaryIO]) -> None:
    with _incoming(layout) as arriving:
        with (
            arriving.open("wb") as out,
            verified(source, blob.digest, f"what is to be stored in {layout}", blob.size) as stream,
        ):
            while chunk := stream.read(_CHUNK):
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
        arriving.replace(_blob(layout, blob.digest))


@contextmanager
def _incoming(layout: Path) -> Iterator[Path]:
    """A new file below the layout, gone afterwards unless it was moved to its place."""
    (layout / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=layout, prefix=_INCOMING)
    os.fchmod(descriptor, 0o644)
    os.close(descriptor)
    path = Path(name)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _sweep(layout: Path) -> None:
    """Remove what killed processes left behind long ago."""
    limit = time.time() - _ABANDONED
    for path in layout.glob(f"{_INCOMING}*"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < limit:
                path.unlink()


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def open_registry(address: str, base: Path) -> ReferringRegistry:
    """The registry at an address.

    Arguments:
        address: ``host[:port][/path]``, or ``oci:FOLDER`` for OCI image layouts on this machine.
        base: folder that a relative FOLDER counts from.
    """
    if is_layout(address):
        return LayoutRegistry(base / address.removeprefix(LAYOUT))
    host, _, prefix = address.partition("/")
    if not re.fullmatch(REGISTRY_HOST, host):
        raise UsageError(
            f"expected a registry such as registry.example.com/shop or oci:FOLDER, found '{address}'"
        )
    return HttpRegistry(Endpoint.of(host, os.environ), prefix)
