"""What is told about an image beside it: SLSA v1 provenance (in-toto) and a CycloneDX bill of materials.

None of it is in the image: its digest would change with each commit. Each document is an artifact that
refers to the image (OCI image-spec 1.1, manifest.md, "Guidelines for Artifact Usage").
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, BinaryIO

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from pipegraft import __version__
from pipegraft.core.limits import load_json
from pipegraft.images.documents import (
    EMPTY,
    Document,
    artifact_manifest,
    canonical_json,
    descriptor_of,
    read_document,
)
from pipegraft.images.ports.builders import BuildRequest, FoundPackages
from pipegraft.images.ports.registry import Descriptor, ReferringRegistry, Registry

__all__ = [
    "CYCLONEDX",
    "IN_TOTO",
    "BuildFacts",
    "Provenance",
    "attest",
    "provenance",
    "provenance_of",
    "read_provenance",
    "sbom",
]

IN_TOTO = "application/vnd.in-toto+json"
_BUILD_TYPE = "urn:pipegraft:component-image:v1"

CYCLONEDX = "application/vnd.cyclonedx+json"
_SPACE = uuid.UUID("6f1c1f0e-3d0b-5b0e-9c43-3a0f3f0f7c51")
_IMAGE = "image"

_LARGEST = 4_000_000
"""Bytes of a statement that are read."""


@dataclass(frozen=True, slots=True)
class BuildFacts:
    """How an image came to be.

    Arguments:
        image: its manifest.
        request: what was asked of the builder.
        builder: name and version of it.
        commit: of the source repository.
        repository: its URL; empty if nobody tells.
        pipeline: URL or name of the run.
        started, finished: seconds since the epoch.
        dependencies: image or component that it is built from → digest; empty where nobody knows it.
        packages: what a scanner found in it.
    """

    image: Descriptor
    request: BuildRequest
    builder: str
    commit: str
    repository: str
    pipeline: str
    started: float
    finished: float
    dependencies: Mapping[str, str] = field(default_factory=dict)
    packages: FoundPackages = field(default_factory=FoundPackages)


def provenance(facts: BuildFacts) -> Document:
    """An in-toto statement with SLSA provenance (slsa.dev/spec/v1.0/provenance)."""
    request = facts.request
    source: dict[str, Any] = {"name": "source", "digest": {"gitCommit": facts.commit}}
    if facts.repository:
        source["uri"] = f"git+{facts.repository}@{facts.commit}"  # the SPDX form that SLSA's examples have
    dependencies = [source]
    for name, digest in sorted(facts.dependencies.items()):
        if digest:
            dependencies.append({"name": name, "digest": {"sha256": _hex(digest)}})
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": request.repository, "digest": {"sha256": _hex(facts.image.digest)}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD_TYPE,
                "externalParameters": {
                    "component": request.component,
                    "inputHash": request.input_hash,
                    "platform": request.platform,
                    "command": list(request.command),
                    "buildArgs": dict(request.build_args),
                    "secrets": sorted(request.extras.secrets),
                },
                "internalParameters": {},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": {"id": f"urn:pipegraft:builder:{facts.builder}"},
                "metadata": {
                    "invocationId": facts.pipeline,
                    "startedOn": _time(facts.started),
                    "finishedOn": _time(facts.finished),
                },
            },
        },
    }
    content = canonical_json(statement)
    return Document(descriptor_of(content, IN_TOTO), content)


@dataclass(frozen=True, slots=True)
class Provenance:
    """What an in-toto statement with SLSA provenance says.

    Arguments:
        subjects: digests of the images it speaks of.
        commits: commits of the source repository they were built from.
        repositories: URLs of those repositories, where it names them.
        builder: who built them.
        invocation: the run that did.
    """

    subjects: tuple[str, ...]
    commits: tuple[str, ...]
    repositories: tuple[str, ...]
    builder: str
    invocation: str


def read_provenance(content: bytes) -> Provenance | None:
    """Read a statement of `provenance`, or of another builder that follows SLSA v1; None if it is none."""
    try:
        statement = load_json(content)
        if statement["predicateType"] != "https://slsa.dev/provenance/v1":
            return None
        predicate = statement["predicate"]
        run = predicate.get("runDetails", {})
        needed = predicate["buildDefinition"].get("resolvedDependencies", [])
        sources = [one for one in needed if "gitCommit" in one.get("digest", {})]
        return Provenance(
            tuple(f"sha256:{one['digest']['sha256']}" for one in statement["subject"]),
            tuple(one["digest"]["gitCommit"] for one in sources),
            tuple(_repository(one["uri"]) for one in sources if one.get("uri")),
            str(run.get("builder", {}).get("id", "")),
            str(run.get("metadata", {}).get("invocationId", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _repository(uri: str) -> str:
    """``git+URL@COMMIT`` without its ends."""
    url, at, revision = uri.removeprefix("git+").rpartition("@")
    return url if at and "/" not in revision else uri.removeprefix("git+")


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")


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


def attest(registry: Registry, facts: BuildFacts) -> None:
    """Push provenance and SBOM as artifacts that refer to the image.

    Raises:
        OutsideError: the registry did not take them; the image itself is there.
    """
    repository = facts.request.repository
    documents = (provenance(facts), sbom(facts))
    with ThreadPoolExecutor() as pool:
        pushed = pool.map(
            lambda one: registry.push_blob(repository, one.descriptor, _source(one)), (EMPTY, *documents)
        )
        list(pushed)  # raises what went wrong
    for document in documents:  # one after another: both may go into one list of referrers
        manifest = artifact_manifest(document, facts.image)
        descriptor = manifest.descriptor
        registry.push_manifest(repository, descriptor.digest, manifest.content, descriptor.media_type)


def provenance_of(registry: ReferringRegistry, repository: str, digest: str) -> Iterator[Provenance]:
    """The statements with SLSA provenance that refer to an image, whoever attached them.

    Raises:
        OutsideError: the registry did not answer, or holds something else than it says.
    """
    for referrer in registry.referrers(repository, digest):
        if referrer.artifact_type not in {IN_TOTO, ""}:
            continue
        manifest = read_document(registry, repository, referrer.manifest.digest, manifest=True)
        for layer in manifest.get("layers", ()):
            if layer.get("mediaType") == IN_TOTO:
                with registry.open(repository, str(layer["digest"])) as stream:
                    content = stream.read(_LARGEST + 1)
                statement = read_provenance(content) if len(content) <= _LARGEST else None
                if statement is not None:
                    yield statement


def _source(document: Document) -> Callable[[], AbstractContextManager[BinaryIO]]:
    return lambda: nullcontext(io.BytesIO(document.content))
