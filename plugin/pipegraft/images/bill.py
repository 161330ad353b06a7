"""The bill of materials of an image (CycloneDX 1.5, cyclonedx.org/docs/1.5/json)."""

from __future__ import annotations

import uuid
from typing import Any

from pipegraft import __version__
from pipegraft.images.attestations import BuildFacts
from pipegraft.images.documents import Document, canonical_json, descriptor_of

__all__ = ["CYCLONEDX", "sbom"]

CYCLONEDX = "application/vnd.cyclonedx+json"
_SPACE = uuid.UUID("6f1c1f0e-3d0b-5b0e-9c43-3a0f3f0f7c51")
_IMAGE = "image"


def sbom(facts: BuildFacts) -> Document:
    """What an image is made of: the images below, packages, and the files that went in.

    Packages come from lock files of the component's folder and, where the builder saw all layers, from the
    package databases of the image; `compositions` says whether it did.
    """
    request = facts.request
    components = [
        {"bom-ref": f"base:{name}", "type": "container", "name": name, "hashes": _sha256(digest)}
        for name, digest in sorted(facts.dependencies.items())
        if digest
    ]
    components += [
        {
            "bom-ref": f"{package.source}#{package.purl}",
            "type": "library",
            "name": package.name,
            "version": package.version,
            "purl": package.purl,
            "properties": [{"name": "pipegraft:source", "value": package.source}],
        }
        for package in sorted(set(facts.packages))
    ]
    components += [
        {
            "bom-ref": f"file:{entry.path}",
            "type": "file",
            "name": entry.path,
            "hashes": _sha256(entry.content),
        }
        for entry in request.entries
        if entry.kind == "file"
    ]
    complete = not facts.unread and (facts.sees_all or not (request.base or facts.dependencies))
    bill: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, facts.image.digest)}",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "pipegraft", "version": __version__}]},
            "component": {
                "bom-ref": _IMAGE,
                "type": "container",
                "name": request.repository,
                "version": facts.image.digest,
                "hashes": _sha256(facts.image.digest),
            },
        },
        "components": components,
        "compositions": [{"aggregate": "unknown" if complete else "incomplete", "assemblies": [_IMAGE]}],
    }
    content = canonical_json(bill)
    return Document(descriptor_of(content, CYCLONEDX), content)


def _sha256(digest: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}]
