"""The layer builder: an image from a folder, without a daemon, the same bytes on every machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from pipegraft.core.plugins import hookimpl
from pipegraft.images.adapters.build.packing import pack_image
from pipegraft.images.hooks import ImageBuilderPlugin
from pipegraft.images.ports.builders import DOCKERFILE, BuildRequest
from pipegraft.images.ports.registry import Descriptor, Registry

__all__ = ["LayerBuilder", "pipegraft_image_builders"]


class LayerBuilder:
    """Packs the folder as it is into uncompressed layers, on top of a base image if there is one.

    Uncompressed, because deflate's bytes differ between zlib builds and because registries on a
    local network take the bytes faster than one core compresses them.
    """

    version = "2"

    def accepts(self, context: Path, dockerfile: str = DOCKERFILE) -> str | None:
        if not context.is_dir():
            return "it is not a folder"
        return f"it has a {dockerfile}" if (context / dockerfile).exists() else None

    def build(self, request: BuildRequest, registry: Registry, log: Callable[[str], None]) -> Descriptor:
        return pack_image(request, registry, log)


@hookimpl
def pipegraft_image_builders() -> Iterable[ImageBuilderPlugin]:
    yield ImageBuilderPlugin(name="layer", connect=LayerBuilder)
