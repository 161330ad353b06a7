"""The JSON documents of an image (OCI image-spec: config.md, manifest.md), byte for byte reproducible."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipegraft.images.ports.registry import Descriptor

__all__ = [
    "CONFIG",
    "INDEX",
    "LAYER",
    "LAYER_GZIP",
    "MANIFEST",
    "Document",
    "canonical_json",
    "descriptor_of",
    "image_config",
    "image_index",
    "image_manifest",
    "parse_descriptor",
    "sha256_digest",
    "show_descriptor",
]

CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"

_EPOCH = "1970-01-01T00:00:00Z"
_HISTORY = {"created": _EPOCH, "created_by": "pipegraft"}


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON document and the descriptor that names it."""

    descriptor: Descriptor
    content: bytes


def sha256_digest(content: bytes) -> str:
    """``sha256:`` and the hash of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def canonical_json(value: Any) -> bytes:  # anything JSON can hold
    """One byte string for one value: keys sorted, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def descriptor_of(content: bytes, media_type: str) -> Descriptor:
    """What names these bytes."""
    return Descriptor(media_type, sha256_digest(content), len(content))


def show_descriptor(descriptor: Descriptor) -> dict[str, Any]:
    """A descriptor as it stands in a manifest."""
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


def parse_descriptor(value: Mapping[str, Any]) -> Descriptor:
    """A descriptor read from a manifest.

    Raises:
        KeyError, TypeError, ValueError: it is not one.
    """
    return Descriptor(str(value["mediaType"]), str(value["digest"]), int(value["size"]))


def image_config(
    layers: Sequence[Descriptor],
    *,
    platform: str,
    command: Sequence[str] = (),
    folder: str = "/",
    base: Mapping[str, Any] | None = None,
) -> Document:
    """Configuration of an image made of uncompressed layers, whose digests are their diff ids.

    Neither time nor commit stands in it: the digest would change though the content did not.

    Arguments:
        layers: those that come on top of the base.
        platform: ``os/architecture``.
        command: what it runs, in `folder`; what the base runs, or nothing, if empty.
        base: configuration of the image below.

    Raises:
        KeyError, TypeError: `base` is not the configuration of an image.
    """
    below = base or dict(zip(("os", "architecture"), platform.split("/"), strict=True))
    run = dict(below.get("config") or {})
    if command:
        run = {key: value for key, value in run.items() if key != "Cmd"}
        run |= {"Entrypoint": list(command), "WorkingDir": folder}
    diff_ids = [*below["rootfs"]["diff_ids"]] if base else []
    value = {
        **{key: below[key] for key in ("architecture", "os", "variant", "os.version") if key in below},
        "created": _EPOCH,
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": diff_ids + [layer.digest for layer in layers]},
        "history": [
            *(below.get("history") or [_HISTORY] * len(diff_ids)),
            *[_HISTORY] * len(layers),
        ],
    }
    content = canonical_json(value)
    return Document(descriptor_of(content, CONFIG), content)


def image_manifest(config: Descriptor, layers: Sequence[Descriptor]) -> Document:
    """The manifest that holds an image together."""
    content = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": show_descriptor(config),
            "layers": [show_descriptor(layer) for layer in layers],
        }
    )
    return Document(descriptor_of(content, MANIFEST), content)


def image_index(images: Mapping[str, Descriptor]) -> Document:
    """The index that brings the images of several platforms together (OCI image-spec, image-index.md).

    Arguments:
        images: ``os/architecture`` → the image's manifest.
    """
    manifests = []
    for platform, image in sorted(images.items()):
        system, _, architecture = platform.partition("/")
        manifests.append({**show_descriptor(image), "platform": {"os": system, "architecture": architecture}})
    content = canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
    return Document(descriptor_of(content, INDEX), content)
