"""Signatures of images by keys, in both schemes: made, found and checked."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from nacl.secret import SecretBox

from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import OutsideError, UsageError
from pipegraft.core.signing import Signer
from pipegraft.images.adapters.sigstore import FileVerifier, PrivateKey
from pipegraft.images.attestations import BuildFacts, attest, sign
from pipegraft.images.documents import canonical_json
from pipegraft.images.hooks import BuildRequest
from pipegraft.images.ports import Descriptor, FakeKey, FakeRegistry, FakeVerifier, ImageToSign
from pipegraft.images.signatures import signed_by_key, signed_things, what_is_known

KINDS = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
}
Made = Callable[..., PrivateKey]


@pytest.fixture
def keys(tmp_path: Path) -> Made:
    """Makes a private key, and leaves ``NAME.pub`` behind."""

    def make(name: str = "release", kind: str = "P-256", password: bytes | None = None) -> PrivateKey:
        key = KINDS[kind]()
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / f"{name}.pub").write_bytes(public)
        how = BestAvailableEncryption(password) if password else NoEncryption()
        return PrivateKey(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how), password, name)

    return make


def pushed(registry: FakeRegistry, content: str = "web") -> Descriptor:
    return registry.push_manifest("web", "v1", content.encode(), "application/vnd.oci.image.manifest.v1+json")


def to_sign(registry: FakeRegistry, image: Descriptor) -> ImageToSign:
    reference = f"registry.example.com/shop/web@{image.digest}"
    return ImageToSign("shop", "web", reference, image, registry, "web", "1" * 40)


def attested(registry: FakeRegistry, image: Descriptor) -> tuple[bytes, ...]:
    request = BuildRequest("web", Path(), (), "web", ())
    return attest(registry, BuildFacts(image, request, "layer:1", "1" * 40, "", "", 0, 1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", ["bundle", "tags"])
def test_what_a_key_signs_is_signed_by_it_and_by_no_other(
    keys: Made, tmp_path: Path, kind: str, scheme: str
) -> None:
    key, _ = keys("release", kind), keys("other", kind)
    registry = FakeRegistry()
    image = pushed(registry)
    sign(to_sign(registry, image), attested(registry, image), key, scheme)
    release, other = Signer(key="release.pub"), Signer(key="other.pub")
    known = what_is_known(registry, "web", image.digest, [other, release], FileVerifier(tmp_path))
    assert known.signers == (release,)
    assert [one.commits for one in known.provenance] == [("1" * 40,)]
    refused = what_is_known(registry, "web", image.digest, [other], FileVerifier(tmp_path))
    assert refused.signers == refused.provenance == ()
    assert all("it is not signed by the key other.pub" in one for one in refused.refusals)
    assert signed_by_key(registry, "web", image.digest, key)


@pytest.mark.parametrize("scheme", ["bundle", "tags"])
def test_one_changed_byte_is_no_signature(keys: Made, tmp_path: Path, scheme: str) -> None:
    key = keys()
    registry = FakeRegistry()
    image = pushed(registry)
    sign(to_sign(registry, image), (), key, scheme)
    (thing,) = signed_things(registry, "web", image.digest)
    verifier = FileVerifier(tmp_path)
    signer = Signer(key="release.pub")
    assert verifier.refusal(signer, thing) is None
    for number in range(0, len(thing.message), 7):
        changed = bytearray(thing.message)
        changed[number] ^= 1
        forged = type(thing)(thing.payload, bytes(changed), thing.signatures)
        assert verifier.refusal(signer, forged) is not None


@pytest.mark.parametrize("scheme", ["bundle", "tags"])
def test_a_signature_of_another_image_proves_nothing(keys: Made, tmp_path: Path, scheme: str) -> None:
    """Whoever may push can put a good signature of one image beside another."""
    key = keys()
    registry = FakeRegistry()
    signed = pushed(registry, "signed")
    other = pushed(registry, "other")
    sign(to_sign(registry, signed), attested(registry, signed), key, scheme)
    for (repository, reference), held in list(registry.manifests.items()):
        content = held[0].replace(signed.digest.encode(), other.digest.encode())
        moved = reference.replace(signed.digest[7:], other.digest[7:])
        registry.push_manifest(repository, moved if ":" not in moved else "moved", content, held[1])
    known = what_is_known(registry, "web", other.digest, [Signer(key="release.pub")], FileVerifier(tmp_path))
    assert known.signers == known.provenance == ()
    assert any("it is about another image" in one for one in known.refusals)


def test_a_signed_statement_that_is_no_signature_does_not_sign_the_image(keys: Made, tmp_path: Path) -> None:
    """A scanner's report may be signed by the same key, and say that the image is bad."""
    key = keys()
    registry = FakeRegistry()
    image = pushed(registry)
    report = canonical_json(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "web", "digest": {"sha256": image.digest[7:]}}],
            "predicateType": "https://cosign.sigstore.dev/attestation/vuln/v1",
            "predicate": {},
        }
    )
    sign(to_sign(registry, image), (report,), key, "bundle")
    for name, (content, _) in list(registry.manifests.items()):
        if b"https://sigstore.dev/cosign/sign/v1" in content:
            del registry.manifests[name]
    assert list(signed_things(registry, "web", image.digest))
    known = what_is_known(registry, "web", image.digest, [Signer(key="release.pub")], FileVerifier(tmp_path))
    assert known.signers == ()


def test_rubbish_beside_an_image_is_passed_over(keys: Made, tmp_path: Path) -> None:
    key = keys()
    registry = FakeRegistry()
    image = pushed(registry)
    sign(to_sign(registry, image), (), key, "bundle")
    sign(to_sign(registry, image), (), key, "tags")
    for name, content in list(registry.blobs.items()):
        if b"dsseEnvelope" in content:
            registry.blobs[name] = content.replace(b'"payload"', b'"nothing"')
    known = what_is_known(registry, "web", image.digest, [Signer(key="release.pub")], FileVerifier(tmp_path))
    assert known.signers == (Signer(key="release.pub"),)


def test_more_than_anybody_looks_at_is_said() -> None:
    registry = FakeRegistry()
    image = pushed(registry)
    for number in range(101):
        sign(to_sign(registry, image), (), FakeKey(str(number)), "tags")
    with pytest.raises(OutsideError, match="more than 100 signatures"):
        what_is_known(registry, "web", image.digest, [Signer(key="k")], FakeVerifier())


def test_further_signatures_join_those_under_the_tag(keys: Made) -> None:
    registry = FakeRegistry()
    image = pushed(registry)
    first, second = keys("first"), keys("second")
    for key in (first, second):
        sign(to_sign(registry, image), (), key, "tags")
    assert signed_by_key(registry, "web", image.digest, first)
    assert signed_by_key(registry, "web", image.digest, second)


def test_a_bundle_names_its_key_and_what_it_says(keys: Made) -> None:
    registry = FakeRegistry()
    image = pushed(registry)
    key = keys()
    sign(to_sign(registry, image), (), key, "bundle")
    (referrer,) = registry.referrers("web", image.digest)
    assert referrer.artifact_type == "application/vnd.dev.sigstore.bundle.v0.3+json"
    manifest = json.loads(registry.manifests["web", referrer.manifest.digest][0])
    assert manifest["annotations"] == {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1",
    }
    bundle = json.loads(registry.blobs["web", manifest["layers"][0]["digest"]])
    assert bundle["verificationMaterial"] == {"publicKey": {"hint": key.hint}}
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    assert statement["subject"] == [{"name": "web", "digest": {"sha256": image.digest[7:]}}]


def test_keys_that_cannot_be_used_are_told_apart(keys: Made, tmp_path: Path) -> None:
    keys("locked", password=b"right")
    with pytest.raises(UsageError, match="expected a private key in PEM from KEY"):
        PrivateKey(b"nonsense", None, "KEY")
    verifier = FileVerifier(tmp_path)
    registry = FakeRegistry()
    image = pushed(registry)
    sign(to_sign(registry, image), (), FakeKey(), "bundle")
    (thing,) = signed_things(registry, "web", image.digest)
    with pytest.raises(UsageError, match=r"expected a public key in PEM at .*missing\.pub"):
        verifier.refusal(Signer(key="missing.pub"), thing)
    keyless = Signer(identity="*", issuer="https://issuer.example.com", trust_root="missing.json")
    with pytest.raises(UsageError, match=r"expected the trust root of a Sigstore at .*missing\.json"):
        verifier.refusal(keyless, thing)


def encrypted_as_by_cosign(der: bytes, password: bytes, **more: str) -> bytes:
    """As `cosign generate-key-pair` does it, at less cost; cosign's own are in the end-to-end tests."""
    box = SecretBox(hashlib.scrypt(password, salt=b"salt", n=2, r=8, p=1, dklen=32)).encrypt(der)
    text = base64.b64encode
    held = {
        "kdf": {"name": "scrypt", "params": {"N": 2, "r": 8, "p": 1}, "salt": text(b"salt").decode()},
        "cipher": {"name": "nacl/secretbox", "nonce": text(box.nonce).decode()} | more,
        "ciphertext": text(box.ciphertext).decode(),
    }
    return (
        b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n%b-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n"
        % base64.encodebytes(json.dumps(held).encode())
    )


@pytest.mark.parametrize("password", [b"made-up", b""])
def test_a_key_that_cosign_encrypted_signs(password: bytes) -> None:
    made = ec.generate_private_key(ec.SECP256R1())
    pem, der = (
        made.private_bytes(kind, PrivateFormat.PKCS8, NoEncryption()) for kind in (Encoding.PEM, Encoding.DER)
    )
    encrypted = encrypted_as_by_cosign(der, password)
    assert PrivateKey(encrypted, password, "KEY").hint == PrivateKey(pem, None, "KEY").hint
    with pytest.raises(UsageError, match="from KEY: the password does not open it"):
        PrivateKey(encrypted, b"wrong", "KEY")
    other = encrypted_as_by_cosign(der, password, name="aes")
    with pytest.raises(UsageError, match="from KEY: it is encrypted by scrypt and aes"):
        PrivateKey(other, password, "KEY")
    for content in (b"{}", b"[1]", b"no"):
        broken = b"-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\n%b\n-----END " % base64.b64encode(content)
        with pytest.raises(UsageError, match="expected a private key in PEM from KEY"):
            PrivateKey(broken, password, "KEY")


def test_a_signer_is_a_key_or_an_identity() -> None:
    for wrong in ({}, {"identity": "*"}, {"key": "a", "issuer": "b"}):
        with pytest.raises(ValueError, match="a signer"):
            Signer.model_validate(wrong)


DELIVERY = {
    "app": "shop",
    "registry": "registry.example.com/shop",
    "components": {"web": {"path": "web"}},
    "iac": {"repository": "iac.git"},
    "environments": {"production": {"gate": {"engine": "fake"}}},
}


def test_how_to_sign_is_declared() -> None:
    declared = Delivery.model_validate({**DELIVERY, "sign": {"key": {"env": "SIGNING_KEY"}}})
    assert declared.sign is not None
    assert declared.sign.scheme == "bundle"
