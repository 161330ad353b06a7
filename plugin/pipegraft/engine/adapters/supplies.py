"""What instances are made of: images, as folders or in a Docker engine, and values kept outside of git."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Protocol

from pipegraft.core.adapters.files import write_atomically
from pipegraft.core.errors import OutsideError, PipegraftError, UsageError
from pipegraft.core.reading import load_json
from pipegraft.engine.ports import Container, SecretKey
from pipegraft.images.documents import StoredImage, read_image
from pipegraft.images.layers import unpack
from pipegraft.images.ports import Registry
from pipegraft.images.reference import ImageReference, is_layout

__all__ = ["DockerImages", "ImageFolders", "ImageShelf", "SecretFolder", "UnpackedImages"]


_CONFIG = ".json"
_LARGEST = 4 << 20
"""Bytes of a manifest or configuration that are read."""


class ImageFolders(Protocol):
    """Images unpacked to folders of this machine."""

    def get(self, reference: str) -> tuple[Path, Mapping[str, Any]]:
        """Folder and configuration of an image, fetched and unpacked if it is not there yet.

        Raises:
            Unreachable: it cannot be fetched.
            UsageError: the reference names no image.
        """

    def keep(self, references: Collection[str]) -> bool:
        """Remove every other image; False if it should be asked again later."""


class UnpackedImages:
    """`ImageFolders` of one process, for any of its threads; what an interrupted unpacking left goes, too.

    Arguments:
        folder: where they are; made if absent.
        open_registry: opens the registry at an address.
    """

    def __init__(self, folder: Path, open_registry: Callable[[str], Registry]) -> None:
        self._folder = folder
        self._open = open_registry
        self._changing = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, reference: str) -> tuple[Path, Mapping[str, Any]]:
        image = ImageReference.parse(reference)
        root = self._root(image)
        config = root.with_suffix(_CONFIG)
        if not (root.exists() and config.exists()):
            with self._changing:
                registry = self._open(image.address)
                write_atomically(config, json.dumps(_read_config(registry, image)).encode())
                unpack(registry, image.repository, image.digest, root)
        return root, load_json(config.read_bytes())

    def keep(self, references: Collection[str]) -> bool:
        if not self._changing.acquire(blocking=False):
            return False
        try:
            self._remove_others(references)
        finally:
            self._changing.release()
        return True

    def _remove_others(self, references: Collection[str]) -> None:
        roots = {self._root(ImageReference.parse(reference)) for reference in references}
        kept = roots | {root.with_suffix(_CONFIG) for root in roots}
        for path in self._folder.iterdir():
            if path in kept:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _root(self, image: ImageReference) -> Path:
        return self._folder / image.digest.removeprefix("sha256:")


def _read_config(registry: Registry, image: ImageReference) -> Mapping[str, Any]:
    """`config` of the image's configuration (OCI image-spec, manifest.md and config.md)."""
    try:
        with registry.open(image.repository, image.digest, manifest=True) as stream:
            digest = load_json(stream.read(_LARGEST))["config"]["digest"]
        with registry.open(image.repository, digest) as stream:
            found: Mapping[str, Any] = load_json(stream.read(_LARGEST)).get("config") or {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutsideError(f"expected {image} to be an image of one platform: {error}") from error
    return found


class SecretFolder:
    """Where references to secrets and config maps are looked up.

    Arguments:
        folder: the folder; None if the engine was given none.
        outputs: the same for what resources of this machine tell, looked at first.
    """

    def __init__(self, folder: Path | None, outputs: Path | None = None) -> None:
        self._folder = folder
        self._outputs = outputs

    def value(self, wanted: SecretKey) -> str:
        """The value of a reference, without the line break at its end.

        Raises:
            UsageError: there is none.
        """
        where = f"{wanted.name}/{wanted.key}"
        if self._outputs and (told := self._outputs / where).is_file():
            return told.read_text("utf-8")
        path = self._given(wanted.kind, where)
        try:
            return path.read_text("utf-8").removesuffix("\n")
        except OSError as error:
            raise _missing(wanted.kind, path, str(error.strerror)) from None

    def folder(self, kind: str, name: str) -> Path:
        """The folder of all keys of a secret or config map.

        Raises:
            UsageError: there is none.
        """
        path = self._given(kind, name)
        if not path.is_dir():
            raise _missing(kind, path, "no such folder")
        return path

    def bundled(self, container: Container) -> Container:
        """The container with the variables of `env_from` put in front of its own.

        Raises:
            UsageError: a secret or config map is missing.
        """
        env: list[tuple[str, str | SecretKey]] = []
        for kind, name in container.env_from:
            keys = sorted(path.name for path in self.folder(kind, name).iterdir() if path.is_file())
            env += [(key, SecretKey(kind, name, key)) for key in keys if not key.startswith(".")]
        return replace(container, env=(*env, *container.env), env_from=())

    def _given(self, kind: str, where: str) -> Path:
        if self._folder is None:
            raise UsageError(
                f"{kind} {where} is wanted, and this engine was given no folder of secrets",
                fix="start the engine with --secrets FOLDER",
            )
        return self._folder / where


def _missing(kind: str, path: Path, why: str) -> UsageError:
    return UsageError(f"{kind} {path.parent.name}/{path.name} is not there: {why}", fix=f"make {path}")


class ImageShelf(Protocol):
    """Images that the container engine holds; every call may raise `OutsideError` or `UsageError`."""

    def has(self, image: str) -> bool: ...

    def pull(self, image: str) -> None:
        """Fetch an image by its pinned name."""

    def load(self, archive: IO[bytes]) -> None:
        """Take the images of an archive as ``docker save`` writes it."""

    def discard(self, image: str) -> bool:
        """Remove an image nobody uses; False if somebody does."""


class DockerImages:
    """What this engine fetched, of which it keeps a list: images of others are left alone.

    Arguments:
        file: the list; its folder must exist.
        open_registry: opens the registry at an address, for layout folders, which no container engine reads.
    """

    def __init__(self, file: Path, shelf: ImageShelf, open_registry: Callable[[str], Registry]) -> None:
        self._file = file
        self._shelf = shelf
        self._open = open_registry
        self._changing = threading.Lock()

    def get(self, reference: str) -> str:
        """What the container engine calls an image, fetched if it is not there yet."""
        image = ImageReference.parse(reference)
        name = self._name(image)
        if not self._shelf.has(name):
            self._remember(name)
            if is_layout(image.address):
                self._load(image)
            else:
                self._shelf.pull(name)
        return name

    def keep(self, references: Collection[str]) -> None:
        """Remove every other image that was fetched; what a container still uses stays for now."""
        kept = {self._name(ImageReference.parse(reference)) for reference in references}
        for name in self._fetched():
            if name not in kept and self._gone(name):
                with self._changing:
                    self._write([one for one in self._fetched() if one != name])

    def _name(self, image: ImageReference) -> str:
        """What the container engine calls it; a loaded one has no name but its configuration's digest."""
        return self._stored(image).config.digest if is_layout(image.address) else str(image)

    def _stored(self, image: ImageReference) -> StoredImage:
        return read_image(self._open(image.address), image.repository, image.digest)

    def _load(self, image: ImageReference) -> None:
        with tempfile.TemporaryFile() as archive:
            _save(self._open(image.address), image.repository, self._stored(image), archive)
            archive.seek(0)
            self._shelf.load(archive)

    def _gone(self, name: str) -> bool:
        try:
            return self._shelf.discard(name)
        except PipegraftError:
            return False  # it is tried again when the next old version is collected

    def _remember(self, name: str) -> None:
        with self._changing:
            fetched = self._fetched()
            if name not in fetched:
                self._write([*fetched, name])

    def _fetched(self) -> list[str]:
        return list(json.loads(self._file.read_bytes())) if self._file.exists() else []

    def _write(self, names: list[str]) -> None:
        write_atomically(self._file, json.dumps(names, indent=1).encode())


def _save(registry: Registry, repository: str, stored: StoredImage, archive: IO[bytes]) -> None:
    """One image without a name, as ``docker save`` writes it (Docker image specification v1.2)."""
    blobs = {one.digest: one for one in (stored.config, *stored.layers)}
    layers = [_file(layer.digest) for layer in stored.layers]
    content = json.dumps([{"Config": _file(stored.config.digest), "RepoTags": None, "Layers": layers}])
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for blob in blobs.values():
            entry = tarfile.TarInfo(_file(blob.digest))
            entry.size = blob.size
            with registry.open(repository, blob.digest) as stream:
                tar.addfile(entry, stream)
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content.encode()))


def _file(digest: str) -> str:
    return digest.replace(":", "-")
