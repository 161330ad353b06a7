"""Packing a folder into the layers of an image, and pushing what the registry lacks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import BinaryIO

from pipegraft.core.adapters.streams import stream_of
from pipegraft.images.adapters.build.base import read_base
from pipegraft.images.adapters.build.context import Opener, opener
from pipegraft.images.adapters.build.scanning import scan_context
from pipegraft.images.documents import LAYER, MANIFEST, image_config, image_manifest
from pipegraft.images.layers import place, shard, tar_blocks
from pipegraft.images.ports.builders import BuildRequest, ContextEntry
from pipegraft.images.ports.registry import Descriptor, Registry

__all__ = ["pack_image"]

_Content = Callable[[], AbstractContextManager[BinaryIO]]

_PARALLEL = 8
"""Blobs at the same time: most wait for the registry to say that it has them."""


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
