"""Signatures of images: what was signed, who must have signed it, and who signs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from pipegraft.core.signing import Signer
from pipegraft.core.stage import Port
from pipegraft.images.ports.registry import Descriptor, Registry

__all__ = [
    "SIGNING_KEY",
    "VERIFIER",
    "FakeKey",
    "FakeVerifier",
    "ImageToSign",
    "SignatureVerifier",
    "SignedThing",
    "SigningKey",
]


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
