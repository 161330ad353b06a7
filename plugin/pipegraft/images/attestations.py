"""What is told about an image beside it: SLSA v1 provenance (in-toto), a bill of materials, signatures.

None of it is in the image: its digest would change with each commit. Each document is an artifact that
refers to the image (OCI image-spec 1.1, manifest.md, "Guidelines for Artifact Usage").
"""

from __future__ import annotations

import base64
import io
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from pipegraft import __version__
from pipegraft.core.reading import load_json
from pipegraft.images.documents import (
    CONFIG,
    EMPTY,
    MANIFEST,
    Document,
    artifact_manifest,
    canonical_json,
    descriptor_of,
    document,
    read_document,
    referrers_tag,
    show_descriptor,
)
from pipegraft.images.hooks import BuildRequest, FoundPackages
from pipegraft.images.ports import Descriptor, ImageToSign, Registry, SigningKey
from pipegraft.images.signatures import (
    BUNDLE,
    DSSE,
    IN_TOTO,
    SIGNATURE,
    SIGNED_IMAGE,
    SIMPLE_SIGNING,
    SLSA,
    pre_authentication_encoding,
)

__all__ = ["CYCLONEDX", "BuildFacts", "attest", "provenance", "sbom", "sign"]

_STATEMENT = "https://in-toto.io/Statement/v1"
_CYCLONEDX_PREDICATE = "https://cyclonedx.org/bom"
_BUNDLE_MADE = f"{BUNDLE}.v0.3+json"
_BUNDLE_CONTENT = {"dev.sigstore.bundle.content": "dsse-envelope"}
"""Annotation of an artifact with a bundle, which cosign looks at before it reads it."""
_BUILD_TYPE = "urn:pipegraft:component-image:v1"

CYCLONEDX = "application/vnd.cyclonedx+json"
_SPACE = uuid.UUID("6f1c1f0e-3d0b-5b0e-9c43-3a0f3f0f7c51")
_IMAGE = "image"


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
    parameters = {
        "component": request.component,
        "inputHash": request.input_hash,
        "platform": request.platform,
        "command": list(request.command),
        "buildArgs": dict(request.build_args),
        "secrets": sorted(request.extras.secrets),
    }
    predicate = {
        "buildDefinition": {
            "buildType": _BUILD_TYPE,
            "externalParameters": parameters,
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
    }
    content = _statement(request.repository, facts.image.digest, SLSA, predicate)
    return Document(descriptor_of(content, IN_TOTO), content)


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
    return document(content, CYCLONEDX)


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


def attest(registry: Registry, facts: BuildFacts) -> tuple[bytes, ...]:
    """Push provenance and SBOM as artifacts that refer to the image.

    Returns:
        Both as in-toto statements, to be signed.

    Raises:
        OutsideError: the registry did not take them; the image itself is there.
    """
    repository = facts.request.repository
    bill = sbom(facts)
    documents = (provenance(facts), bill)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda one: _push_blob(registry, repository, one), (EMPTY, *documents)))
    for one in documents:  # one after another: both may go into one list of referrers
        _refer(registry, repository, facts.image, one)
    described = _statement(repository, facts.image.digest, _CYCLONEDX_PREDICATE, load_json(bill.content))
    return documents[0].content, described


def sign(image: ImageToSign, statements: Sequence[bytes], key: SigningKey, scheme: str) -> None:
    """Sign an image and what is said of it.

    Arguments:
        statements: in-toto statements about the image.
        scheme: ``bundle``: Sigstore bundles that refer to it; ``tags``: the older tags.

    Raises:
        OutsideError: the registry did not take the signatures.
    """
    if scheme == "bundle":
        own = _statement(image.repository, image.image.digest, SIGNED_IMAGE, {})
        _sign_with_bundles(image, (*statements, own), key)
    else:
        _sign_with_tags(image, statements, key)


def _sign_with_bundles(image: ImageToSign, statements: Sequence[bytes], key: SigningKey) -> None:
    _push_blob(image.registry, image.repository, EMPTY)
    for statement in statements:
        content = {
            "mediaType": _BUNDLE_MADE,
            "verificationMaterial": {"publicKey": {"hint": key.hint}},
            "dsseEnvelope": _envelope(statement, key),
        }
        bundle = document(content, _BUNDLE_MADE)
        _push_blob(image.registry, image.repository, bundle)
        predicate = {"dev.sigstore.bundle.predicateType": load_json(statement)["predicateType"]}
        _refer(image.registry, image.repository, image.image, bundle, {**_BUNDLE_CONTENT, **predicate})


def _sign_with_tags(image: ImageToSign, statements: Sequence[bytes], key: SigningKey) -> None:
    """As cosign's SIGNATURE_SPEC.md and ATTESTATION_SPEC.md have it."""
    attestations = []
    for statement in statements:
        notes = {"predicateType": load_json(statement)["predicateType"], SIGNATURE: ""}
        attestations.append((document(_envelope(statement, key), DSSE), notes))
    claim = {
        "identity": {"docker-reference": image.reference.partition("@")[0]},
        "image": {"docker-manifest-digest": image.image.digest},
        "type": "cosign container image signature",
    }
    signature = document({"critical": claim, "optional": None}, SIMPLE_SIGNING)
    notes = {SIGNATURE: base64.b64encode(key.sign(signature.content)).decode()}
    if attestations:
        _add_to_tag(image, "att", attestations)
    _add_to_tag(image, "sig", [(signature, notes)])


def _add_to_tag(image: ImageToSign, end: str, added: Sequence[tuple[Document, Mapping[str, str]]]) -> None:
    """Put further layers into the artifact that a tag of the older scheme names."""
    registry, repository = image.registry, image.repository
    tag = f"{referrers_tag(image.image.digest)}.{end}"
    held = registry.find(repository, tag)
    layers = list(read_document(registry, repository, held.digest, manifest=True)["layers"]) if held else []
    for one, notes in added:
        _push_blob(registry, repository, one)
        layers.append({**show_descriptor(one.descriptor), "annotations": notes})
    root = {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}
    config = document({"architecture": "", "os": "", "config": {}, "rootfs": root}, CONFIG)
    _push_blob(registry, repository, config)
    described = {"config": show_descriptor(config.descriptor), "layers": layers}
    manifest = canonical_json({"schemaVersion": 2, "mediaType": MANIFEST, **described})
    registry.push_manifest(repository, tag, manifest, MANIFEST)


def _statement(repository: str, digest: str, predicate_type: str, predicate: Mapping[str, Any]) -> bytes:
    """An in-toto statement about an image."""
    return canonical_json(
        {
            "_type": _STATEMENT,
            "subject": [{"name": repository, "digest": {"sha256": _hex(digest)}}],
            "predicateType": predicate_type,
            "predicate": predicate,
        }
    )


def _envelope(statement: bytes, key: SigningKey) -> dict[str, Any]:
    """A signed statement (DSSE, envelope.md)."""
    signature = key.sign(pre_authentication_encoding(IN_TOTO, statement))
    return {
        "payload": base64.b64encode(statement).decode(),
        "payloadType": IN_TOTO,
        "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
    }


def _refer(
    registry: Registry,
    repository: str,
    image: Descriptor,
    held: Document,
    annotations: Mapping[str, str] | None = None,
) -> None:
    manifest = artifact_manifest(held, image, annotations)
    registry.push_manifest(repository, manifest.descriptor.digest, manifest.content, MANIFEST)


def _push_blob(registry: Registry, repository: str, held: Document) -> None:
    registry.push_blob(repository, held.descriptor, lambda: nullcontext(io.BytesIO(held.content)))
