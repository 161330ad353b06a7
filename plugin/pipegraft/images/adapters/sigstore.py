"""Signatures by keys and by Sigstore's certificates, checked and made by `cryptography` and `sigstore`.

They come with the extra ``pipegraft[sigstore]``.
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
    load_pem_public_key,
)
from cryptography.x509 import (
    Certificate,
    ExtensionNotFound,
    RFC822Name,
    SubjectAlternativeName,
    UniformResourceIdentifier,
)
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox
from sigstore.errors import Error as SigstoreError
from sigstore.errors import VerificationError
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier
from sigstore.verify.policy import OIDCIssuer

from pipegraft.core.errors import UsageError
from pipegraft.core.foreign_text import keep_secret
from pipegraft.core.plugins import hookimpl
from pipegraft.core.reading import load_json
from pipegraft.core.signing import BuildSecret, Signer
from pipegraft.core.stage import Opener, Project
from pipegraft.images.ports import (
    SIGNING_KEY,
    VERIFIER,
    SignatureVerifier,
    SignedThing,
    SigningKey,
)

__all__ = ["FileVerifier", "PrivateKey", "pipegraft_openers"]

_PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
"""Curve → what is signed is hashed by it (sigstore, docs/algorithm-registry.md)."""
_OF_COSIGN = re.compile(
    rb"-----BEGIN ENCRYPTED (?:SIGSTORE|COSIGN) PRIVATE KEY-----(.*?)-----END ", re.DOTALL
)
_MOST_MEMORY = 256 << 20
"""Bytes that deriving a key from a password may take; cosign's own parameters take 64 MiB."""


class FileVerifier:
    """Checks signatures by public keys and trust roots in files.

    Arguments:
        root: folder that their paths are relative to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def refusal(self, signer: Signer, thing: SignedThing) -> str | None:
        if signer.key is not None:
            key = _public_key(self._root / signer.key)
            return None if _is_signed(key, thing) else f"it is not signed by {signer}"
        if not thing.bundle:
            return "it has a certificate by the older scheme, which proves no time (sign with bundles)"
        verifier = _trusting(self._root / (signer.trust_root or ""))
        try:
            bundle = Bundle.from_json(thing.bundle)
            _, payload = verifier.verify_dsse(bundle, _Identity(signer))
        except (SigstoreError, ValueError) as error:
            return f"it is not signed by {signer}: {error}"
        return None if payload == thing.payload else "its envelope holds something else"


class _Identity:
    """What a certificate must say: its issuer, and a subject that fits a pattern."""

    def __init__(self, signer: Signer) -> None:
        self._issuer = OIDCIssuer(signer.issuer or "")
        self._pattern = signer.identity or ""

    def verify(self, cert: Certificate) -> None:
        """Raise `VerificationError` unless the certificate says so."""
        self._issuer.verify(cert)
        try:
            names = cert.extensions.get_extension_for_class(SubjectAlternativeName).value
        except ExtensionNotFound:
            raise VerificationError("its certificate names no subject") from None
        found = [
            *names.get_values_for_type(UniformResourceIdentifier),
            *names.get_values_for_type(RFC822Name),
        ]
        if not any(fnmatch.fnmatchcase(name, self._pattern) for name in found):
            raise VerificationError(f"its certificate is for {', '.join(found) or 'nobody'}")


class PrivateKey:
    """A private key.

    Arguments:
        pem: PKCS 8 in PEM, or what ``cosign generate-key-pair`` writes.
        password: it is encrypted with, None if it is not.
        name: where it comes from, for messages.

    Raises:
        UsageError: it is none, or the password is wrong.
    """

    def __init__(self, pem: bytes, password: bytes | None, name: str) -> None:
        of_cosign = _OF_COSIGN.search(pem)
        try:
            if of_cosign:
                key = load_der_private_key(_opened(of_cosign[1], password or b""), None)
            else:
                key = load_pem_private_key(pem, password)
        except (ValueError, TypeError, KeyError, UnsupportedAlgorithm) as error:
            raise UsageError(
                f"expected a private key in PEM from {name}: {error}",
                fix="correct 'sign' in delivery.yaml, or what it names",
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
            raise UsageError(f"expected an ECDSA, RSA or Ed25519 key from {name}, found another kind")
        self._key = key

    @property
    def hint(self) -> str:
        public = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(public).digest()).decode()

    def sign(self, message: bytes) -> bytes:
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            return self._key.sign(message, ec.ECDSA(_hash_of(self._key.curve)))
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return self._key.sign(message)

    def made(self, thing: SignedThing) -> bool:
        return _is_signed(self._key.public_key(), thing)


def _opened(content: bytes, password: bytes) -> bytes:
    """The key, PKCS 8 in DER, that cosign encrypted (secure-systems-lab/go-securesystemslib, encrypted).

    Raises:
        ValueError, KeyError, TypeError: it is none, or the password is wrong.
    """
    held = load_json(base64.b64decode(content))
    derived, box = held["kdf"], held["cipher"]
    if (derived["name"], box["name"]) != ("scrypt", "nacl/secretbox"):
        raise ValueError(f"it is encrypted by {derived['name']} and {box['name']}")
    cost, salt = derived["params"], base64.b64decode(derived["salt"])
    key = hashlib.scrypt(
        password,
        salt=salt,
        n=cost["N"],
        r=cost["r"],
        p=cost["p"],
        maxmem=_MOST_MEMORY,
        dklen=SecretBox.KEY_SIZE,
    )
    try:
        return SecretBox(key).decrypt(base64.b64decode(held["ciphertext"]), base64.b64decode(box["nonce"]))
    except CryptoError:
        raise ValueError("the password does not open it") from None


def _is_signed(key: _PublicKey, thing: SignedThing) -> bool:
    return any(_fits(key, signature, thing.message) for signature in thing.signatures)


def _fits(key: _PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(_hash_of(key.curve)))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        else:
            key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _hash_of(curve: ec.EllipticCurve) -> hashes.HashAlgorithm:
    return _HASHES.get(curve.name, hashes.SHA256())


@cache
def _public_key(path: Path) -> _PublicKey:
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"expected a public key in PEM at {path}: {error}",
            fix="correct 'signed-by' in delivery.yaml, or the file",
        ) from None
    if not isinstance(key, _PublicKey):
        raise UsageError(f"expected an ECDSA, RSA or Ed25519 key at {path}, found another kind")
    return key


@cache
def _trusting(path: Path) -> Verifier:
    try:
        return Verifier(trusted_root=TrustedRoot.from_file(str(path)))
    except (OSError, ValueError, SigstoreError) as error:
        raise UsageError(
            f"expected the trust root of a Sigstore at {path}: {error}",
            fix="correct 'trust-root' in delivery.yaml; Sigstore's own is `cosign trusted-root create`",
        ) from None


def _signing_key(project: Project) -> SigningKey:
    """The key that the delivery names.

    Raises:
        UsageError: it names none, or what it names is not there or no key.
    """
    declared = project.delivery.sign
    if declared is None:
        raise UsageError("delivery.yaml names no key to sign with", fix="name one below 'sign'")
    password = _held(declared.password, project.root) if declared.password else None
    source = declared.key.env or declared.key.file or ""
    return PrivateKey(_held(declared.key, project.root), password, source)


def _held(secret: BuildSecret, root: Path) -> bytes:
    """What a secret holds; a variable of the job may name a file, as GitLab's do that are of that type."""
    try:
        if secret.file is not None:
            held = (root / secret.file).read_bytes()
        else:
            value = os.environ[secret.env or ""]
            named = value.startswith("/") and Path(value).is_file()
            held = Path(value).read_bytes() if named else value.encode()
    except (OSError, KeyError) as error:
        lost = isinstance(error, KeyError)
        told = f"variable {secret.env} is not set" if lost else f"{secret.file or secret.env} cannot be read"
        raise UsageError(
            f"the images cannot be signed: {told}",
            fix="provide it to this job, or build without signatures by `--set sign=false`",
        ) from None
    keep_secret(held.decode(errors="replace"))
    return held


def _verifier(project: Project) -> SignatureVerifier:
    return FileVerifier(project.root)


@hookimpl
def pipegraft_openers() -> Iterable[Opener[..., Any]]:
    yield Opener(VERIFIER, _verifier)
    yield Opener(SIGNING_KEY, _signing_key)
