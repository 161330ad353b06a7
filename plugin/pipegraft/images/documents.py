"""The JSON documents of images and of what refers to them (OCI image-spec), byte for byte reproducible."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipegraft.core.errors import OutsideError
from pipegraft.core.reading import load_json
from pipegraft.images.ports import Descriptor, Registry

__all__ = [
    "CONFIG",
    "EMPTY",
    "INDEX",
    "LAYER",
    "LAYER_GZIP",
    "MANIFEST",
    "Document",
    "StoredImage",
    "artifact_manifest",
    "artifact_type_of",
    "canonical_json",
    "descriptor_of",
    "document",
    "image_config",
    "image_index",
    "image_manifest",
    "is_referrers_list",
    "parse_descriptor",
    "read_document",
    "read_image",
    "referrers_index",
    "referrers_tag",
    "sha256_digest",
    "show_descriptor",
    "subject_of",
]

CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"

_EPOCH = "1970-01-01T00:00:00Z"
_HISTORY = {"created": _EPOCH, "created_by": "pipegraft"}

_LARGEST = 4 << 20
"""Bytes of a manifest that a registry must accept (distribution-spec)."""


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


def document(value: Any, media_type: str) -> Document:
    """The document of a value that JSON can hold."""
    content = canonical_json(value)
    return Document(descriptor_of(content, media_type), content)


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


_PLATFORM = ("os", "architecture", "variant")
_USUAL = {"linux/arm64/v8": "linux/arm64", "linux/arm/v7": "linux/arm"}
"""Variants that go without saying."""


def _parts_of(platform: str) -> dict[str, str]:
    """A platform as the image-spec writes it."""
    return dict(zip(_PLATFORM, platform.split("/"), strict=False))


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
        platform: ``os/architecture``, with ``/variant`` where it has one.
        command: what it runs, in `folder`; what the base runs, or nothing, if empty.
        base: configuration of the image below.

    Raises:
        KeyError, TypeError: `base` is not the configuration of an image.
    """
    below: Mapping[str, Any] = base or _parts_of(platform)
    run = dict(below.get("config") or {})
    if command:
        run = {key: value for key, value in run.items() if key != "Cmd"}
        run |= {"Entrypoint": list(command), "WorkingDir": folder}
    diff_ids = [*below["rootfs"]["diff_ids"]] if base else []
    kept = {key: below[key] for key in ("architecture", "os", "variant", "os.version") if key in below}
    history = [*(below.get("history") or [_HISTORY] * len(diff_ids)), *[_HISTORY] * len(layers)]
    rootfs = {"type": "layers", "diff_ids": diff_ids + [layer.digest for layer in layers]}
    return document({**kept, "created": _EPOCH, "config": run, "rootfs": rootfs, "history": history}, CONFIG)


def image_manifest(config: Descriptor, layers: Sequence[Descriptor], **more: Any) -> Document:
    """The manifest that holds an image, or an artifact, together.

    Arguments:
        more: further keys; those without a value are left out.
    """
    value = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": show_descriptor(config),
        "layers": [show_descriptor(layer) for layer in layers],
    }
    return document({**value, **{key: one for key, one in more.items() if one}}, MANIFEST)


def image_index(images: Mapping[str, Descriptor]) -> Document:
    """The index that brings the images of several platforms together (OCI image-spec, image-index.md).

    Arguments:
        images: ``os/architecture``, with ``/variant`` where it has one → the image's manifest.
    """
    manifests = [
        {**show_descriptor(image), "platform": _parts_of(platform)}
        for platform, image in sorted(images.items())
    ]
    return document({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}, INDEX)


EMPTY = document({}, "application/vnd.oci.empty.v1+json")
"""Configuration of an artifact that has none."""


def artifact_manifest(
    held: Document, subject: Descriptor, annotations: Mapping[str, str] | None = None
) -> Document:
    """The manifest of an artifact that refers to an image."""
    described = held.descriptor
    more = {"annotations": annotations, "artifactType": described.media_type}
    return image_manifest(EMPTY.descriptor, [described], subject=show_descriptor(subject), **more)


def referrers_tag(digest: str) -> str:
    """The tag that lists what refers to a digest, where a registry does not (distribution-spec)."""
    return digest.replace(":", "-", 1)


def is_referrers_list(content: bytes) -> bool:
    """Whether a manifest is a list of referrers: an index whose entries are for no platform."""
    try:
        held = load_json(content)
        return held["mediaType"] == INDEX and not any("platform" in one for one in held["manifests"])
    except (ValueError, KeyError, TypeError):
        return False


def referrers_index(held: bytes | None, artifact: bytes) -> bytes | None:
    """That list with one more artifact, None if it is in it.

    Arguments:
        held: the list as it is, None if there is none.
        artifact: manifest of what refers.

    Raises:
        ValueError, KeyError, TypeError: `held` is no index.
    """
    index: dict[str, Any] = {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    if held:
        index = load_json(held)
    manifest = load_json(artifact)
    descriptor = descriptor_of(artifact, manifest["mediaType"])
    if any(each["digest"] == descriptor.digest for each in index["manifests"]):
        return None
    entry = {**show_descriptor(descriptor), "artifactType": manifest["artifactType"]}
    return canonical_json({**index, "manifests": [*index["manifests"], entry]})


def subject_of(manifest: bytes) -> str | None:
    """Digest that a manifest refers to, None if it refers to nothing."""
    try:
        return str(load_json(manifest)["subject"]["digest"])
    except (ValueError, KeyError, TypeError):
        return None


def artifact_type_of(manifest: bytes) -> str:
    """What sort of artifact a manifest is, by the fallback of the image-spec too; empty if it is none."""
    try:
        held = load_json(manifest)
        return str(held.get("artifactType") or held["config"]["mediaType"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """The image of one platform.

    Arguments:
        config: its configuration.
        layers: the lowest first.
    """

    config: Descriptor
    layers: tuple[Descriptor, ...]


def read_image(registry: Registry, repository: str, digest: str, platform: str | None = None) -> StoredImage:
    """An image by the digest of its manifest, or of an index that has it.

    Arguments:
        platform: ``os/architecture`` to choose from an index; an index is refused if None.

    Raises:
        OutsideError: it is missing, damaged or no image, or has nothing for the platform.
    """
    name = f"{repository}@{digest}"
    manifest = read_document(registry, repository, digest, manifest=True)
    if manifest.get("schemaVersion") == 1:
        said = f"{name} is in Docker's schema 1, which nothing reads any more"
        raise OutsideError(said, fix="push it again in OCI's format")
    try:
        if "manifests" in manifest:
            chosen = _choose(manifest["manifests"], platform, name)
            return read_image(registry, repository, chosen)
        return StoredImage(
            parse_descriptor(manifest["config"]), tuple(map(parse_descriptor, manifest["layers"]))
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutsideError(f"expected an image manifest at {name}: {type(error).__name__} {error}") from error


def read_document(
    registry: Registry, repository: str, digest: str, *, manifest: bool = False
) -> Mapping[str, Any]:
    """A JSON object from a registry.

    Raises:
        OutsideError: it is missing, damaged or none.
    """
    with registry.open(repository, digest, manifest=manifest) as stream:
        content = stream.read(_LARGEST + 1)
    try:
        value = load_json(content)
    except ValueError as error:
        raise OutsideError(f"expected JSON at {repository}@{digest}: {error}") from error
    if not isinstance(value, dict):
        raise OutsideError(f"expected a JSON object at {repository}@{digest}")
    return value


def _choose(manifests: list[Mapping[str, Any]], platform: str | None, name: str) -> str:
    found = {
        "/".join(str(each["platform"][part]) for part in _PLATFORM if part in each["platform"]): str(
            each["digest"]
        )
        for each in reversed(manifests)  # the first of a platform wins
        if "platform" in each
    }
    fitting = [one for one in sorted(found, reverse=True) if one.rpartition("/")[0] == platform]
    for wanted in (platform, _USUAL.get(platform or ""), *fitting):
        if wanted in found:
            return found[wanted]
    known = ", ".join(sorted(found)) or "no platform"
    raise OutsideError(
        f"expected {name} to be an image for {platform or 'one platform'}, found an index of {known}",
        fix="name the image of one platform" if platform is None else "correct the input 'platform'",
    )
