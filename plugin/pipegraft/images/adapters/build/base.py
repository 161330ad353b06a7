"""Building on another image: its layers are kept as they are, and taken over without passing through here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipegraft.core.errors import OutsideError
from pipegraft.images.image_reader import read_document, read_image
from pipegraft.images.ports.builders import BaseImage
from pipegraft.images.ports.registry import Descriptor, Registry

__all__ = ["Base", "read_base"]

_PARALLEL = 4


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
