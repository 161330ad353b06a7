"""The bill of materials of an image (CycloneDX 1.6, cyclonedx.org/docs/1.6/json)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from pipegraft import __version__
from pipegraft.images.attestations import BuildFacts
from pipegraft.images.documents import Document, canonical_json, descriptor_of
from pipegraft.images.ports.builders import FoundPackages

__all__ = ["CYCLONEDX", "sbom"]

CYCLONEDX = "application/vnd.cyclonedx+json"
_SPACE = uuid.UUID("6f1c1f0e-3d0b-5b0e-9c43-3a0f3f0f7c51")
_IMAGE = "image"


def sbom(facts: BuildFacts) -> Document:
    """What an image is made of: the images below, the packages a scanner found, and the files that went in.

    `compositions` says whether all of it was looked at, and the property ``pipegraft:packages`` by what.
    """
    found = facts.packages
    image, parts = _image(facts), [*_bases(facts), *_packages(found), *_files(facts)]
    bill = Bom(
        serial_number=uuid.uuid5(_SPACE, facts.image.digest),
        components=parts,
        metadata=BomMetaData(
            timestamp=datetime.fromtimestamp(int(facts.finished), UTC),
            tools=ToolRepository(components=list(_tools(found))),
            component=image,
            properties=[Property(name="pipegraft:packages", value=_looked_at(found))],
        ),
    )
    bill.register_dependency(image, parts)
    content = json.loads(JsonV1Dot6(bill).output_as_string())
    # The library has no compositions; nobody can know what a binary was linked from, so never "complete".
    complete = found.looked_at and (found.sees_bases or not (facts.request.base or facts.dependencies))
    aggregate = "unknown" if complete else "incomplete"
    content["compositions"] = [{"aggregate": aggregate, "assemblies": [_IMAGE]}]
    text = canonical_json(content)
    return Document(descriptor_of(text, CYCLONEDX), text)


def _image(facts: BuildFacts) -> Component:
    digest = facts.image.digest
    name = facts.request.repository.rpartition("/")[2]
    return Component(
        name=facts.request.repository,
        version=digest,
        type=ComponentType.CONTAINER,
        bom_ref=_IMAGE,
        purl=PackageURL("oci", name=name, version=digest),
        hashes=_sha256(digest),
    )


def _tools(found: FoundPackages) -> Iterator[Component]:
    yield Component(name="pipegraft", version=__version__, type=ComponentType.APPLICATION)
    if found.by:
        name, _, version = found.by.partition(" ")
        yield Component(name=name, version=version or None, type=ComponentType.APPLICATION)


def _looked_at(found: FoundPackages) -> str:
    if not found.by:
        return "not looked for: neither syft nor trivy was there"
    return f"{found.by}: {found.looked_at}"


def _bases(facts: BuildFacts) -> Iterator[Component]:
    for name, digest in facts.dependencies.items():
        if digest:
            yield Component(
                name=name, type=ComponentType.CONTAINER, bom_ref=f"base:{name}", hashes=_sha256(digest)
            )


def _packages(found: FoundPackages) -> Iterator[Component]:
    for package in found.packages:
        yield Component(
            name=package.name,
            version=package.version or None,
            type=ComponentType.LIBRARY,
            bom_ref=f"{package.source}#{package.purl}",
            purl=PackageURL.from_string(package.purl),
            properties=[Property(name="pipegraft:source", value=package.source)] if package.source else (),
        )


def _files(facts: BuildFacts) -> Iterator[Component]:
    for entry in facts.request.entries:
        if entry.kind == "file":
            yield Component(
                name=entry.path,
                type=ComponentType.FILE,
                bom_ref=f"file:{entry.path}",
                hashes=_sha256(entry.content),
            )


def _sha256(digest: str) -> Iterable[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=digest.removeprefix("sha256:"))]
