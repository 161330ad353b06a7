"""The layer builder: an image from a folder, without a daemon, the same bytes on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from pipegraft.core.adapters.files import stream_of
from pipegraft.core.plugins import hookimpl
from pipegraft.images.adapters.building import Opener, opener, scan_context
from pipegraft.images.adapters.pushing import read_base
from pipegraft.images.documents import LAYER, MANIFEST, image_config, image_manifest
from pipegraft.images.hooks import DOCKERFILE, BuildRequest, ContextEntry, ImageBuilderPlugin
from pipegraft.images.layers import place, shard, tar_blocks
from pipegraft.images.ports import Descriptor, Registry

__all__ = ["LayerBuilder", "pack_image", "pipegraft_image_builders"]

_Content = Callable[[], AbstractContextManager[BinaryIO]]

_PARALLEL = 8
"""Blobs at the same time: most wait for the registry to say that it has them."""


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


def pack_image(request: BuildRequest, registry: Registry, log: Callable[[str], None]) -> Descriptor:
    """Make the layers, push them with their manifest, and tag it; as `ImageBuilder.build`."""
    scan_context(request, log)
    base = read_base(request.base, request.platform) if request.base else None
    if base:
        base.push_layers(request.repository, registry, log)
    shards = shard(place(request.entries, request.target))
    open_file = opener(request, request.target.strip("/"))
    with ThreadPoolExecutor(_PARALLEL) as pool:
        layers = list(pool.map(lambda one: _measure(tar_blocks(one, open_file)), shards))
        config = image_config(
            layers,
            platform=request.platform,
            command=request.command,
            folder=request.target,
            base=base.config if base else None,
        )
        contents = dict(zip(layers, (_tar(one, open_file) for one in shards), strict=True))
        contents[config.descriptor] = lambda: stream_of([config.content])
        list(pool.map(lambda blob: _push(blob, contents[blob], request, registry, log), contents))
    manifest = image_manifest(config.descriptor, [*(base.layers if base else ()), *layers])
    for tag in request.tags:
        registry.push_manifest(request.repository, tag, manifest.content, MANIFEST)
    log(f"{len(layers)} layer{'s' * (len(layers) != 1)}, {sum(layer.size for layer in layers)} bytes")
    return manifest.descriptor


def _tar(entries: tuple[ContextEntry, ...], open_file: Opener) -> _Content:
    return lambda: stream_of(tar_blocks(entries, open_file))


def _push(
    blob: Descriptor,
    content: _Content,
    request: BuildRequest,
    registry: Registry,
    log: Callable[[str], None],
) -> None:
    sent = registry.push_blob(request.repository, blob, content)
    if sent and blob.media_type == LAYER:
        log(f"layer {blob.digest[7:19]}: {blob.size} bytes, {sent} sent")


def _measure(blocks: Iterable[bytes]) -> Descriptor:
    hashed, size = hashlib.sha256(), 0
    for block in blocks:
        hashed.update(block)
        size += len(block)
    return Descriptor(LAYER, f"sha256:{hashed.hexdigest()}", size)


@hookimpl
def pipegraft_image_builders() -> Iterable[ImageBuilderPlugin]:
    yield ImageBuilderPlugin(name="layer", connect=LayerBuilder)
