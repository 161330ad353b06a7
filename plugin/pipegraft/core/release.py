"""The release record: what one delivery did, appended to by each stage, and where it is kept meanwhile."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from pydantic import Field

from pipegraft.core.model import Model, Name

__all__ = [
    "BuiltImage",
    "EnvironmentRelease",
    "FakeReleaseStore",
    "GateResource",
    "GateResult",
    "GrayStep",
    "GrayWatched",
    "IacCommit",
    "Release",
    "ReleaseMark",
    "ReleaseStore",
    "Source",
    "release_dotenv",
]


class Source(Model):
    """Where the release comes from."""

    commit: str = Field(pattern=r"^[0-9a-f]{40,64}$")
    """Commit of the source repository."""
    number: int = Field(ge=0)
    """Rises with every pipeline of the app; the higher number is the newer release."""
    pipeline: str = ""
    """URL or name of the pipeline, for people."""
    repository: str = ""
    """URL of the source repository, where the CI system tells; without user name or password."""


class BuiltImage(Model):
    """A component's image, wherever it came from."""

    reference: str
    """``registry/repository@sha256:…``; for an OCI layout ``oci:FOLDER/repository@sha256:…``."""
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    input_hash: str = Field(pattern=r"^ih-[0-9a-f]{64}$")
    """Tag that says what the image was made from."""
    builder: str
    built: bool
    """False when the registry had it already."""


class ReleaseMark(Model):
    """Which release something is."""

    number: int = Field(ge=0)
    """Number of the pipeline; rises."""
    source: str = Field(min_length=1)
    """Commit of the source repository."""


class IacCommit(Model):
    """What iac-bump wrote."""

    commit: str
    """The target revision: the gate waits for it or a descendant."""
    path: str
    outcome: Literal["written", "unchanged", "superseded"]
    carried: ReleaseMark | None = None
    """The release it holds, if that is not the pipeline's own: one carried from another environment, say."""
    images: tuple[str, ...] = ()
    """The images that run with it: ``repository[:tag]@digest``; none where it holds another release."""
    effect: tuple[str, ...] = ()
    """What is known of what `targets` render to: a line for each chart, kustomization and file."""


class GateResource(Model):
    """One thing the gate looked at."""

    name: str
    """``Kind namespace/name``."""
    state: str
    message: str = ""


class GateResult(Model):
    """What the gate saw."""

    revision: str
    verdict: str
    evidence: str
    seconds: float = Field(ge=0)
    details: tuple[str, ...] = ()
    """Lines that prove the verdict: conditions, events, the tail of a log."""
    resources: tuple[GateResource, ...] = ()
    """What the verdict is drawn from; of many only what was not well."""
    phases: Mapping[str, float] = {}
    """Seconds until the engine had `seen` the revision, had it `live`, and the gate had `ended`."""


class GrayStep(Model):
    """One commit of a gray release."""

    commit: str
    weight: int = Field(ge=0, le=100)
    phase: str
    """`step`, `promoting`, `promoted`, `rolled-back` or `held`."""
    judgement: Mapping[str, Any] = {}
    """What the judge saw: answer, evidence, requests and seconds to decide."""


class GrayWatched(Model):
    """What a process has seen at the weight that it watches, kept in case it dies."""

    commit: str
    """The commit that set the weight."""
    observed: str
    """As the trailer ``Pipegraft-Observed`` has it."""


class EnvironmentRelease(Model):
    """What happened in one environment."""

    bump: IacCommit | None = None
    gate: GateResult | None = None
    gray: tuple[GrayStep, ...] = ()
    watched: GrayWatched | None = None
    outcome: str = ""


class Release(Model):
    """``.pipegraft/release.json``."""

    version: Literal[1] = 1
    app: Name
    source: Source
    images: Mapping[Name, BuiltImage] = {}
    """Component → image."""
    environments: Mapping[Name, EnvironmentRelease] = {}
    extra: Mapping[str, Mapping[str, Any]] = {}
    """What third-party stages recorded, by stage name."""

    def source_in(self, environment: str) -> Source:
        """Where the release comes from that this delivery brought into an environment."""
        part = self.environments.get(environment)
        carried = part.bump.carried if part and part.bump else None
        if carried is None:
            return self.source
        # The file may name the source in any way people like; only releases of ours name a whole commit.
        return Source.model_construct(
            commit=carried.source, number=carried.number, pipeline=self.source.pipeline, repository=""
        )


class ReleaseStore(Protocol):
    """One release record."""

    def load(self) -> Release:
        """The record as it is now.

        Raises:
            UsageError: it is missing or not readable as a record.
        """

    def save(self, release: Release) -> None:
        """Replace the record, whole or not at all."""


class FakeReleaseStore:
    """A record in memory."""

    def __init__(self, release: Release) -> None:
        self.release = release

    def load(self) -> Release:
        return self.release

    def save(self, release: Release) -> None:
        self.release = release


def release_dotenv(release: Release, path: str, content: bytes) -> str:
    """A pointer to the release record for GitLab's dotenv reports.

    A dotenv file may have 5 KiB and 20 variables (GitLab, "artifacts:reports:dotenv"), less than the images
    of a large application take: so it says where the record is and what it is, and later jobs read that.

    Arguments:
        path: of the record, relative to the repository.
        content: bytes of the record.
    """
    values = {
        "PIPEGRAFT_RELEASE_FILE": path,
        "PIPEGRAFT_RELEASE_SHA256": hashlib.sha256(content).hexdigest(),
        "PIPEGRAFT_RELEASE_NUMBER": str(release.source.number),
        "PIPEGRAFT_RELEASE_COMMIT": release.source.commit,
        "PIPEGRAFT_RELEASE_IMAGES": str(len(release.images)),
        "PIPEGRAFT_RELEASE_BUILT": str(sum(image.built for image in release.images.values())),
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())
