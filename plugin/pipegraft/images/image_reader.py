"""Reading an image's documents from a registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipegraft.core.errors import OutsideError
from pipegraft.core.limits import load_json
from pipegraft.images.documents import parse_descriptor
from pipegraft.images.ports.registry import Descriptor, Registry

__all__ = ["StoredImage", "read_document", "read_image"]

_LARGEST = 4 << 20
"""Bytes of a manifest that a registry must accept (distribution-spec)."""


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
        "{os}/{architecture}".format_map(each["platform"]): str(each["digest"])
        for each in reversed(manifests)  # the first of a platform wins
        if "platform" in each
    }
    if platform in found:
        return found[platform]
    known = ", ".join(sorted(found)) or "no platform"
    raise OutsideError(
        f"expected {name} to be an image for {platform or 'one platform'}, found an index of {known}",
        fix="name the image of one platform" if platform is None else "correct the input 'platform'",
    )
