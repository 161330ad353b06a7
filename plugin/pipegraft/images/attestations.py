"""What is told about an image beside it: SLSA v1 provenance (in-toto), and how artifacts refer to it.

None of it is in the image: its digest would change with each commit. Each document is an artifact that
refers to the image (OCI image-spec 1.1, manifest.md, "Guidelines for Artifact Usage").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipegraft.core.limits import load_json
from pipegraft.images.documents import (
    INDEX,
    MANIFEST,
    Document,
    canonical_json,
    descriptor_of,
    show_descriptor,
)
from pipegraft.images.ports.builders import BuildRequest, FoundPackages
from pipegraft.images.ports.registry import Descriptor

__all__ = [
    "EMPTY",
    "IN_TOTO",
    "BuildFacts",
    "Provenance",
    "artifact_manifest",
    "artifact_type_of",
    "is_referrers_list",
    "provenance",
    "read_provenance",
    "referrers_index",
    "referrers_tag",
    "subject_of",
]

IN_TOTO = "application/vnd.in-toto+json"
EMPTY = Document(descriptor_of(b"{}", "application/vnd.oci.empty.v1+json"), b"{}")
"""Configuration of an artifact that has none."""

_BUILD_TYPE = "urn:pipegraft:component-image:v1"


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


def artifact_manifest(document: Document, subject: Descriptor) -> Document:
    """The manifest of an artifact that refers to an image."""
    content = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": document.descriptor.media_type,
            "config": show_descriptor(EMPTY.descriptor),
            "layers": [show_descriptor(document.descriptor)],
            "subject": show_descriptor(subject),
        }
    )
    return Document(descriptor_of(content, MANIFEST), content)


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
