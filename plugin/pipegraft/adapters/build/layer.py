"""The layer builder: an image from a folder, without a daemon, the same bytes on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from pipegraft.actions.build_context import DOCKERFILE
from pipegraft.actions.kept import load_kept, save_kept
from pipegraft.adapters.build.context import Opener, opener
from pipegraft.adapters.streams import stream_of
from pipegraft.domain.images.documents import LAYER, MANIFEST, image_config, image_manifest
from pipegraft.domain.images.layers import place, shard, shard_key, tar_blocks
from pipegraft.hookspecs import hookimpl
from pipegraft.ports.images import BuildRequest, ContextEntry
from pipegraft.ports.plugins import ImageBuilderPlugin
from pipegraft.ports.registry import Descriptor, Registry

__all__ = ["LayerBuilder", "pipegraft_image_builders"]

_Content = Callable[[], AbstractContextManager[BinaryIO]]

_PARALLEL = 8
"""Blobs at the same time: most wait for the registry to say that it has them."""


class LayerBuilder:
    """Packs the folder as it is into uncompressed layers, on top of a base image if there is one.

    Uncompressed, because deflate's bytes differ between zlib builds and because registries on a
    local network take the bytes faster than one core compresses them.
    """

    version = "2"

    def accepts(self, context: Path) -> str | None:
        if not context.is_dir():
            return "it is not a folder"
        return "it has a Dockerfile" if (context / DOCKERFILE).exists() else None

    def build(self, request: BuildRequest, registry: Registry, log: Callable[[str], None]) -> Descriptor:
        base = None
        if request.base:
            from pipegraft.adapters.build.base import read_base  # noqa: PLC0415 - most have none

            base = read_base(request.base, request.platform)
            base.push_layers(request.repository, registry, log)
        shards = shard(place(request.entries, request.target))
        file = request.cache / f"layers-{self.version}" if request.cache else None
        known = load_kept(file) if file else {}
        open_file = opener(request, request.target.strip("/"))
        with ThreadPoolExecutor(_PARALLEL) as pool:
            layers = list(pool.map(lambda one: _describe(one, open_file, known), shards))
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
        made = {shard_key(one): [layer.digest, layer.size] for one, layer in zip(shards, layers, strict=True)}
        if file and len(shards) > 1 and made != known:
            save_kept(file, made)
        manifest = image_manifest(config.descriptor, [*(base.layers if base else ()), *layers])
        for tag in request.tags:
            registry.push_manifest(request.repository, tag, manifest.content, MANIFEST)
        log(f"{len(layers)} layers, {sum(layer.size for layer in layers)} bytes")
        return manifest.descriptor


def _describe(
    entries: tuple[ContextEntry, ...], open_file: Opener, known: Mapping[str, tuple[str, int]]
) -> Descriptor:
    """The layer of one shard; no file of it is read where it is known."""
    held = known.get(shard_key(entries))
    return Descriptor(LAYER, *held) if held else _measure(tar_blocks(entries, open_file))


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
