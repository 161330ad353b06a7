"""Images unpacked to folders, by digest; what nobody uses any more is removed."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from pipegraft.core.adapters.files import write_atomically
from pipegraft.core.errors import OutsideError
from pipegraft.core.reading import load_json
from pipegraft.images.layers import unpack
from pipegraft.images.ports import Registry
from pipegraft.images.reference import ImageReference

__all__ = ["UnpackedImages"]

_CONFIG = ".json"
_LARGEST = 4 << 20
"""Bytes of a manifest or configuration that are read."""


class UnpackedImages:
    """A folder of unpacked images, used by one process at a time and by any of its threads.

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
        """Folder and configuration of an image, fetched and unpacked if it is not there yet."""
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
        """Remove every other image, and what an interrupted unpacking left behind.

        Returns:
            Whether it was done; False while an image is being fetched.
        """
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
