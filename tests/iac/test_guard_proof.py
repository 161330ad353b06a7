"""Images that enter an IaC repository only with proof, as a file of the server says."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from guarded import PATH, STABLE, A, Git, push

from pipegraft.core.errors import Unreachable
from pipegraft.iac.guard import ImagePolicy
from pipegraft.iac.guard.contents import pinned_images
from pipegraft.iac.guard.usecases import ImageProof
from pipegraft.images.adapters.registry import open_registry
from pipegraft.images.adapters.sigstore import PrivateKey
from pipegraft.images.attestations import BuildFacts, attest, sign
from pipegraft.images.documents import MANIFEST, image_manifest
from pipegraft.images.hooks import BuildRequest
from pipegraft.images.ports import Descriptor, FakeKey, FakeRegistry, FakeVerifier, ImageToSign
from pipegraft.testing.images_suite import blob_of

HOST = "registry.example.com"
POLICY = {"images": {f"{HOST}/shop/*": {"signed-by": [{"key": "k.pub"}], "provenance": True}, "r/*": {}}}


def stored(registry: FakeRegistry, content: bytes) -> Descriptor:
    config, source = blob_of(content)
    registry.push_blob("shop/web", config, source)
    return registry.push_manifest("shop/web", None, image_manifest(config, []).content, MANIFEST)


def sign_it(registry: FakeRegistry, image: Descriptor, key: FakeKey | PrivateKey) -> None:
    request = BuildRequest("web", Path(), (), "shop/web", ())
    facts = attest(registry, BuildFacts(image, request, "layer:1", "1" * 40, "", "", 0, 1))
    named = f"{HOST}/shop/web@{image.digest}"
    sign(ImageToSign("shop", "web", named, image, registry, "shop/web", "1" * 40), facts, key, "bundle")


def proof(registry: FakeRegistry, policy: object = POLICY) -> ImageProof:
    verifier = FakeVerifier({"k.pub": FakeKey("ours")})
    return ImageProof(ImagePolicy.model_validate(policy), lambda _: registry, lambda: verifier, "images.yaml")


def test_an_image_enters_with_proof_alone() -> None:
    registry = FakeRegistry()
    ours, theirs, bare = (stored(registry, one) for one in (b"a", b"b", b"c"))
    sign_it(registry, ours, FakeKey("ours"))
    sign_it(registry, theirs, FakeKey("theirs"))
    look = proof(registry)
    assert look.refusal(f"{HOST}/shop/web@{ours.digest}") is None
    for image in (theirs, bare):
        assert "not signed by the key k.pub" in str(look.refusal(f"{HOST}/shop/web@{image.digest}"))
    assert "no pattern of images.yaml fits it" in str(look.refusal(f"{HOST}/other@{ours.digest}"))
    assert look.refusal(A) is None


def test_a_registry_that_does_not_answer_lets_nothing_in() -> None:
    ended = threading.Event()

    class Silent(FakeRegistry):
        def referrers(self, *_: object) -> tuple[()]:
            ended.wait()
            return ()

    look = proof(Silent(), {**POLICY, "within": 0.05})
    with pytest.raises(Unreachable, match=r"within 0\.05 s"):
        look.refusal(f"{HOST}/shop/web@sha256:{'a' * 64}")
    ended.set()


@pytest.mark.parametrize(
    "text",
    [
        f"image: {HOST}/shop/web@sha256:{'a' * 64}\n",
        f"x: |\n  image: {HOST}/shop/web:v1@sha256:{'a' * 64}\n",
        f"images: [{{name: web, newName: {HOST}/shop/web, digest: 'sha256:{'a' * 64}'}}]\n",
        f"web: {{repository: {HOST}/shop/web, tag: 'v1@sha256:{'a' * 64}'}}\n",
        f"web: {{repository: {HOST}/shop/web, sha: {'a' * 64}}}\n",
        f'image: "{HOST}/shop/w\\x65b@sha256:{"a" * 64}"\n',
    ],
)
def test_every_spelling_of_an_image_is_looked_at(text: str) -> None:
    assert any(
        "/shop/web" in one and one.endswith("a" * 64) for one in pinned_images("rendered/a.yaml", text)
    )


def test_the_hook_asks_for_proof(git: Git, tmp_path: Path) -> None:
    """By a real push, a real key, and a registry that the server has as a folder."""
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    key = PrivateKey(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), None, "k")
    registry = open_registry(f"oci:{tmp_path / 'mirror'}", tmp_path)
    signed, bare = stored(registry, b"a"), stored(registry, b"b")
    sign_it(registry, signed, key)
    server = tmp_path / "server"
    server.mkdir()
    (server / "k.pub").write_bytes(public)
    (server / "images.yaml").write_text(f"images: {{'{HOST}/shop/*': {{signed-by: [{{key: k.pub}}]}}}}\n")
    hook = tmp_path / "iac.git" / "hooks" / "pre-receive"
    hook.write_text(
        f"#!/bin/sh\nexport PIPEGRAFT_REGISTRY_MIRRORS={HOST}=oci:{tmp_path / 'mirror'}\n"
        f"exec pipegraft guard --pre-receive --image-policy {server / 'images.yaml'}\n"
    )
    files = {
        name: STABLE.replace(A, f"{HOST}/shop/web@{one.digest}").replace("number: 12", "number: 13")
        for name, one in (("signed", signed), ("bare", bare))
    }
    dev = PATH.replace("production", "dev")
    told = push(git, tmp_path / "clone", {dev: files["bare"]})
    assert f"{dev}: the image {HOST}/shop/web@{bare.digest} may not enter: it is not signed by" in told
    git("reset", "--quiet", "--hard", "origin/main")
    assert push(git, tmp_path / "clone", {dev: files["signed"]}) == ""
