"""What `delivery.yaml` says of builds beside their files, and of signatures: how images are signed, and what
must be known about one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from pipegraft.core.model import (
    Breach,
    Model,
    RelativePath,
    rule,
)

__all__ = ["BuildCache", "BuildSecret", "Requirements", "Signer", "Signing"]


class BuildCache(Model):
    """Where BuildKit keeps layers between builds on different machines (docker build, --cache-from)."""

    load: tuple[str, ...] = Field(default=(), alias="from")
    """Read from here: `type=registry,ref=registry.example.com/shop/cache:web`, or an image's name."""
    save: tuple[str, ...] = Field(default=(), alias="to")
    """Written to here: `type=registry,ref=…,mode=max`, `type=inline`, `type=local,dest=…`."""


class BuildSecret(Model):
    """Where a secret of a build comes from; its value is read when the image is built and kept nowhere."""

    env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Variable of the environment that holds it."""
    file: RelativePath | None = None
    """File that holds it, relative to `delivery.yaml`."""

    @rule
    def _one_source(self) -> Iterator[Breach]:
        if (self.env is None) == (self.file is None):
            yield Breach("a build secret has either 'env' or 'file'")


class Signing(Model):
    """How image-build signs what it builds, and what it says of it."""

    key: BuildSecret
    """The private key, PKCS 8 in PEM: ECDSA, RSA or Ed25519."""
    password: BuildSecret | None = None
    """Password of the key."""
    scheme: Literal["bundle", "tags"] = "bundle"
    """Sigstore bundles that refer to the image, which cosign reads from 2.4 on, or the older tags
    `sha256-….sig` and `sha256-….att`."""


class Signer(Model):
    """Who signs images: the holder of a key, or somebody whom Sigstore's authority gave a certificate."""

    key: RelativePath | None = None
    """PEM file of the public key, relative to `delivery.yaml`."""
    identity: str | None = Field(default=None, min_length=1)
    """Pattern (`*` for anything) of its certificate's subject: a pipeline's URL and branch, or an address."""
    issuer: str | None = Field(default=None, min_length=1)
    """URL of the OIDC issuer that vouches for the identity."""
    trust_root: RelativePath | None = None
    """The `trusted_root.json` of the Sigstore that gave the certificate, relative to `delivery.yaml`."""

    @rule
    def _key_or_identity(self) -> Iterator[Breach]:
        keyless = (self.identity, self.issuer, self.trust_root)
        if self.key is None and None in keyless:
            yield Breach("a signer has a 'key', or 'identity', 'issuer' and 'trust-root'")
        if self.key is not None and keyless != (None, None, None):
            yield Breach("a signer with a 'key' has neither 'identity', 'issuer' nor 'trust-root'")

    def __str__(self) -> str:
        return f"the key {self.key}" if self.key else f"'{self.identity}' of {self.issuer}"


class Requirements(Model):
    """What must be known about an image before it is released."""

    signed_by: tuple[Signer, ...] = ()
    """One of them must have signed the image, as cosign does. Provenance counts only if one signed it too."""
    provenance: bool = False
    """A statement with SLSA provenance must refer to it in the registry, about this digest, and name the
    commit it was built from."""
    builders: tuple[str, ...] = ()
    """Patterns (`*` for anything) of the builder's id in such a statement; any builder if empty."""
    repositories: tuple[str, ...] = ()
    """Patterns of the source repository's URL in such a statement; any repository if empty."""

    @rule
    def _patterns_need_provenance(self) -> Iterator[Breach]:
        if (self.builders or self.repositories) and not self.provenance:
            yield Breach("'builders' and 'repositories' are looked up in provenance: set 'provenance: true'")
