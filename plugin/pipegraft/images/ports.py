"""Registries (content-addressed blobs, manifests and tags), and who signs images and checks signatures."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from pipegraft.core.errors import Unreachable
from pipegraft.core.reading import load_json
from pipegraft.core.signing import Signer
from pipegraft.core.stage import Port

__all__ = [
    "REGISTRY",
    "REGISTRY_AT",
    "SIGNING_KEY",
    "VERIFIER",
    "Descriptor",
    "FakeKey",
    "FakeRegistry",
    "FakeVerifier",
    "ImageToSign",
    "Referrer",
    "Referrers",
    "ReferringRegistry",
    "Registry",
    "SignatureVerifier",
    "SignedThing",
    "SigningKey",
]


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What an OCI descriptor says (image-spec, descriptor.md).

    Arguments:
        media_type: OCI or Docker media type.
        digest: ``sha256:`` and 64 hex digits.
        size: bytes.
    """

    media_type: str
    digest: str
    size: int


class Registry(Protocol):
    """One registry, or an OCI layout folder; callable from several threads.

    `repository` is the path below the registry's root.
    """

    def find(self, repository: str, reference: str) -> Descriptor | None:
        """The manifest that a tag or digest names, without fetching it; None if there is none.

        Raises:
            Unreachable, AccessDenied: the registry did not answer or refused.
        """

    def open(
        self, repository: str, digest: str, *, manifest: bool = False
    ) -> AbstractContextManager[BinaryIO]:
        """Read a blob (or a manifest) by digest; what is read is verified against the digest.

        Raises:
            OutsideError: at the latest when its end is read: it is not there, was cut short, or is not what
                its digest says.
        """

    def push_blob(
        self,
        repository: str,
        blob: Descriptor,
        source: Callable[[], AbstractContextManager[BinaryIO]],
        *,
        mount_from: str | None = None,
    ) -> int:
        """Store a blob unless it is there.

        Arguments:
            source: opens the content anew at each call, for retries.
            mount_from: another repository of the same server that may hold it, below the registry's root
                or, with a ``/`` before it, below the server's.

        Returns:
            Bytes uploaded: 0 when it was there or could be mounted.

        Raises:
            OutsideError: it could not be stored, or the source is not what `blob` says.
        """

    def push_manifest(self, repository: str, reference: str, manifest: bytes, media_type: str) -> Descriptor:
        """Store a manifest under a tag or digest; its blobs must be there.

        One with a `subject` becomes a referrer of it.

        Raises:
            OutsideError: it could not be stored.
        """


@dataclass(frozen=True, slots=True)
class Referrer:
    """An artifact that refers to an image.

    Arguments:
        manifest: its manifest.
        artifact_type: what it is; empty if the registry does not say.
    """

    manifest: Descriptor
    artifact_type: str


class Referrers(Protocol):
    """What is told about images beside them."""

    def referrers(self, repository: str, digest: str) -> Sequence[Referrer]:
        """The artifacts whose subject is a digest (distribution-spec, "Listing Referrers").

        Raises:
            Unreachable, AccessDenied: the registry did not answer or refused.
        """


class ReferringRegistry(Registry, Referrers, Protocol):
    """A registry that also lists what refers to its images."""


REGISTRY: Port[[], ReferringRegistry] = Port("registry")
"""The delivery's own registry."""
REGISTRY_AT: Port[[str], ReferringRegistry] = Port("registry-at")
"""The registry at an address."""


class FakeRegistry:
    """A registry in memory."""

    def __init__(self) -> None:
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[bytes, str]] = {}

    def find(self, repository: str, reference: str) -> Descriptor | None:
        held = self.manifests.get((repository, reference))
        return None if held is None else Descriptor(held[1], _digest(held[0]), len(held[0]))

    def open(
        self, repository: str, digest: str, *, manifest: bool = False
    ) -> AbstractContextManager[BinaryIO]:
        held = self.manifests.get((repository, digest), (None, ""))[0] if manifest else None
        content = held if manifest else self.blobs.get((repository, digest))
        if content is None:
            raise Unreachable(f"expected {digest} in {repository}, found none")
        return nullcontext(io.BytesIO(content))

    def push_blob(
        self,
        repository: str,
        blob: Descriptor,
        source: Callable[[], AbstractContextManager[BinaryIO]],
        *,
        mount_from: str | None = None,
    ) -> int:
        if (repository, blob.digest) in self.blobs:
            return 0
        if mount_from and (mount_from, blob.digest) in self.blobs:
            self.blobs[repository, blob.digest] = self.blobs[mount_from, blob.digest]
            return 0
        with source() as stream:
            content = stream.read()
        if _digest(content) != blob.digest:
            raise Unreachable(f"expected {blob.digest}, found {_digest(content)}")
        self.blobs[repository, blob.digest] = content
        return blob.size

    def push_manifest(self, repository: str, reference: str, manifest: bytes, media_type: str) -> Descriptor:
        digest = _digest(manifest)
        for name in (reference, digest):
            self.manifests[repository, name] = (manifest, media_type)
        return Descriptor(media_type, digest, len(manifest))

    def referrers(self, repository: str, digest: str) -> Sequence[Referrer]:
        found: dict[str, Referrer] = {}
        for (held, _), (content, media_type) in self.manifests.items():
            if held != repository or b'"subject"' not in content:
                continue
            manifest = load_json(content)
            if manifest["subject"]["digest"] == digest:
                descriptor = Descriptor(media_type, _digest(content), len(content))
                found[descriptor.digest] = Referrer(descriptor, manifest.get("artifactType", ""))
        return list(found.values())


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True, slots=True)
class SignedThing:
    """Something signed that lies beside an image; nothing of it is verified.

    Arguments:
        payload: what it says: an in-toto statement, or a document of simple signing.
        message: the bytes that were signed.
        signatures: over the message.
        bundle: the Sigstore bundle that it came in, with certificate and log entry; empty by tag.
        place: where it lies, for messages.
    """

    payload: bytes
    message: bytes
    signatures: tuple[bytes, ...]
    bundle: bytes = b""
    place: str = ""


class SignatureVerifier(Protocol):
    """Checks signatures; callable from several threads."""

    def refusal(self, signer: Signer, thing: SignedThing) -> str | None:
        """Why this is not signed by somebody, as a clause; None if it is.

        Raises:
            UsageError: the key or the trust root that is declared cannot be used.
        """


class SigningKey(Protocol):
    """A private key."""

    @property
    def hint(self) -> str:
        """Names the key in a Sigstore bundle: the SHA-256 of the public key (DER), in base64."""

    def sign(self, message: bytes) -> bytes:
        """A signature over the message."""

    def made(self, thing: SignedThing) -> bool:
        """Whether one of its signatures is this key's."""


VERIFIER: Port[[], SignatureVerifier] = Port("signature-verifier")
"""Checks signatures by the files that the delivery names."""
SIGNING_KEY: Port[[], SigningKey] = Port("signing-key")
"""The key that the delivery's `sign` names."""


@dataclass(frozen=True, slots=True)
class ImageToSign:
    """An image that was built and lies in its registry, with provenance and SBOM, not yet to be found.

    Arguments:
        app: name of the application.
        component: name of the component.
        reference: pinned by digest, as other programs take it.
        image: its manifest.
        registry: where it lies; what is pushed there with a `subject` becomes a referrer of it.
        repository: its path in that registry.
        commit: of the source repository.
    """

    app: str
    component: str
    reference: str
    image: Descriptor
    registry: Registry
    repository: str
    commit: str


@dataclass(frozen=True, slots=True)
class FakeKey:
    """Signs by putting its name before the message."""

    name: str = "key"

    @property
    def hint(self) -> str:
        return self.name

    def sign(self, message: bytes) -> bytes:
        return self.name.encode() + b":" + message

    def made(self, thing: SignedThing) -> bool:
        return self.sign(thing.message) in thing.signatures


@dataclass(frozen=True, slots=True)
class FakeVerifier:
    """Takes the signatures of `FakeKey` for those of the key that a signer names.

    Arguments:
        keys: path of a signer's key → who holds it.
    """

    keys: dict[str, FakeKey] = field(default_factory=dict)

    def refusal(self, signer: Signer, thing: SignedThing) -> str | None:
        key = self.keys.get(signer.key or "")
        return None if key and key.made(thing) else f"it is not signed by {signer}"
