"""Pushing what a builder has put into an archive (`docker save`), on the layers of its base image."""

from __future__ import annotations

import hashlib
import os
import posixpath
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pipegraft.core.adapters.files import stream_of
from pipegraft.core.errors import OutsideError
from pipegraft.core.reading import load_json
from pipegraft.images.adapters.building import note_statements, scan_archive
from pipegraft.images.documents import (
    CONFIG,
    LAYER,
    LAYER_GZIP,
    MANIFEST,
    descriptor_of,
    image_manifest,
    read_document,
    read_image,
)
from pipegraft.images.hooks import BaseImage, BuildRequest
from pipegraft.images.ports import Descriptor, Registry

__all__ = ["Base", "base_of", "push_saved", "read_base"]

_PARALLEL = 4
"""Layers at the same time."""

_CHUNK = 1 << 18
_LARGEST = 64 << 20
"""Bytes of a document that describes an image, such as what a scanner found in it."""
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Base:
    """What an image brings to the one built on it.

    Arguments:
        image: where it is.
        layers: as its registry holds them, the lowest first.
        config: its configuration.
    """

    image: BaseImage
    layers: tuple[Descriptor, ...]
    config: Mapping[str, Any]

    @property
    def diff_ids(self) -> Sequence[str]:
        """Digests of the layers' uncompressed content."""
        found: Sequence[str] = self.config["rootfs"]["diff_ids"]
        return found

    def push_layers(self, repository: str, registry: Registry, log: Callable[[str], None]) -> None:
        """Bring the layers into another repository: mounted on the same server, copied from elsewhere."""

        def push(layer: Descriptor) -> int:
            return registry.push_blob(
                repository,
                layer,
                lambda: self.image.registry.open(self.image.repository, layer.digest),
                mount_from=self.image.mount_from,
            )

        with ThreadPoolExecutor(_PARALLEL) as pool:
            sent = sum(pool.map(push, self.layers))
        log(f"base: {len(self.layers)} layer{'s' * (len(self.layers) != 1)}, {sent} bytes sent")


def read_base(image: BaseImage, platform: str) -> Base:
    """Read what an image brings.

    Raises:
        OutsideError: it is missing, or no image of this platform.
    """
    stored = read_image(image.registry, image.repository, image.digest, platform)
    config = read_document(image.registry, image.repository, stored.config.digest)
    try:
        if len(config["rootfs"]["diff_ids"]) == len(stored.layers):
            return Base(image, stored.layers, config)
    except (KeyError, TypeError):
        pass  # said below
    raise OutsideError(f"expected the configuration of an image at {image.repository}@{stored.config.digest}")


def base_of(request: BuildRequest, log: Callable[[str], None]) -> Base | None:
    """The base of an image that a program builds, which may reach registries that we do not.

    Where it cannot be read the image is pushed with all of its layers, and the log says so.
    """
    if request.base is None:
        return None
    try:
        return read_base(request.base, request.platform)
    except OutsideError as error:
        log(f"the layers of the base image are pushed too, for it cannot be read: {error.problem.message}")
        return None


def push_saved(
    archive: Path,
    request: BuildRequest,
    registry: Registry,
    base: Base | None,
    log: Callable[[str], None],
) -> Descriptor:
    """Push the one image of an archive and give it its tags.

    Arguments:
        archive: what `docker save` writes; an OCI layout where BuildKit scanned the image.
        base: the image it may be built on; where it is, its layers are taken from its registry.

    Raises:
        OutsideError: the archive is not what it should be.
    """
    with archive.open("rb") as stream:
        saved = _Saved(stream)
        if saved.statements:
            note_statements(request, map(saved.read, saved.statements), log)
        else:
            scan_archive(request, archive, log)
        return _push(saved, request, registry, base, log)


def _push(
    saved: _Saved,
    request: BuildRequest,
    registry: Registry,
    base: Base | None,
    log: Callable[[str], None],
) -> Descriptor:
    config_bytes = saved.read(saved.config)
    diff_ids = _diff_ids(config_bytes)
    if len(diff_ids) != len(saved.layers):
        raise OutsideError(
            f"the engine saved {len(saved.layers)} layers of an image that has {len(diff_ids)}"
        )
    kept = 0
    if base is not None and diff_ids[: len(base.layers)] == list(base.diff_ids):
        kept = len(base.layers)
        base.push_layers(request.repository, registry, log)

    def push(name: str) -> Descriptor:
        layer = saved.describe(name)
        sent = registry.push_blob(request.repository, layer, lambda: saved.open(name))
        log(f"layer {layer.digest[7:19]}: {layer.size} bytes, {sent} sent")
        return layer

    with ThreadPoolExecutor(_PARALLEL) as pool:
        own = list(pool.map(push, saved.layers[kept:]))
    config = descriptor_of(config_bytes, CONFIG)
    registry.push_blob(request.repository, config, lambda: stream_of([config_bytes]))
    manifest = image_manifest(config, [*(base.layers if base and kept else ()), *own])
    for tag in request.tags:
        registry.push_manifest(request.repository, tag, manifest.content, MANIFEST)
    return manifest.descriptor


def _diff_ids(config: bytes) -> list[str]:
    try:
        return [str(one) for one in load_json(config)["rootfs"]["diff_ids"]]
    except (ValueError, KeyError, TypeError) as error:
        raise OutsideError(
            f"expected the configuration of an image in what the engine saved: {error}"
        ) from error


def _blob_name(descriptor: Mapping[str, Any]) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")


class _Saved:
    """An archive whose members are read in place, by several threads."""

    def __init__(self, archive: BinaryIO) -> None:
        self._archive = archive
        archive.seek(0)
        try:
            with tarfile.open(fileobj=archive, mode="r:") as tar:
                self._members = {member.name: member for member in tar}
            self.config, self.layers, self.statements = "", list[str](), list[str]()
            if "manifest.json" not in self._members and "index.json" in self._members:
                self._read_layout()
            else:
                described = load_json(self.read("manifest.json"))[0]
                self.config = str(described["Config"])
                self.layers = [str(layer) for layer in described["Layers"]]
        except (tarfile.TarError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise OutsideError(f"expected an image in what the engine saved: {error}") from error

    def _read_layout(self) -> None:
        """Find the image and what is stated of it in an OCI layout (moby/buildkit, docs/attestations)."""
        (held,) = load_json(self.read("index.json"))["manifests"]
        for one in self._blob(held)["manifests"]:
            manifest = self._blob(one)
            if one.get("annotations", {}).get("vnd.docker.reference.type") != "attestation-manifest":
                self.config = _blob_name(manifest["config"])
                self.layers = [_blob_name(layer) for layer in manifest["layers"]]
                continue
            self.statements += [
                _blob_name(layer)
                for layer in manifest["layers"]
                if layer["annotations"]["in-toto.io/predicate-type"] == "https://spdx.dev/Document"
            ]
        if not self.statements:
            raise OutsideError("BuildKit's scanner stated nothing of the image")

    def _blob(self, descriptor: Mapping[str, Any]) -> Any:  # whatever JSON it is
        return load_json(self.read(_blob_name(descriptor)))

    def read(self, name: str) -> bytes:
        if self._member(name).size > _LARGEST:
            raise OutsideError(f"expected at most {_LARGEST} bytes in what the engine saved as '{name}'")
        with self.open(name) as stream:
            return stream.read()

    def _member(self, name: str) -> tarfile.TarInfo:
        member = self._members.get(name)
        if member is not None and member.issym():  # a layer that is there twice
            target = posixpath.join(posixpath.dirname(name), member.linkname)
            member = self._members.get(posixpath.normpath(target))
        if member is None:
            raise OutsideError(f"expected '{name}' in what the engine saved, it is not there")
        return member

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        member = self._member(name)
        return stream_of(self._blocks(member.offset_data, member.size))

    def _blocks(self, offset: int, size: int) -> Iterator[bytes]:
        end = offset + size
        while offset < end:
            block = os.pread(self._archive.fileno(), min(_CHUNK, end - offset), offset)
            if not block:
                raise OutsideError("what the engine saved ends in the midst of a file")
            offset += len(block)
            yield block

    def describe(self, name: str) -> Descriptor:
        hashed, size, start = hashlib.sha256(), 0, b""
        with self.open(name) as stream:
            while block := stream.read(_CHUNK):
                start = start or block[:2]
                hashed.update(block)
                size += len(block)
        media_type = LAYER_GZIP if start == _GZIP else LAYER
        return Descriptor(media_type, f"sha256:{hashed.hexdigest()}", size)
