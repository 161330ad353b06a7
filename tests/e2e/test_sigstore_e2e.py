"""Signatures with cosign itself, which takes ours as we take its, and one of Sigstore's public instance."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from harness import free_port, listens, missing, need, run, server
from image_servers import running_registry

from pipegraft.core.signing import Signer
from pipegraft.images.adapters.layer import LayerBuilder
from pipegraft.images.adapters.registry.endpoint import Endpoint
from pipegraft.images.adapters.registry.http import HttpRegistry
from pipegraft.images.adapters.sigstore import FileVerifier, PrivateKey
from pipegraft.images.attestations import BuildFacts, attest, sign
from pipegraft.images.build_context import read_context
from pipegraft.images.documents import Document, artifact_manifest, descriptor_of
from pipegraft.images.hooks import BuildRequest
from pipegraft.images.ports import Descriptor, FakeRegistry, ImageToSign
from pipegraft.images.signatures import signed_things, what_is_known

pytestmark = [pytest.mark.e2e, pytest.mark.engines]

SOURCES = Path(__file__).with_name("sigstore")
COMMIT = "1" * 40
LOGLESS = ("--use-signing-config=false", "--tlog-upload=false", "--yes")


def tool(name: str) -> str:
    found = Path(run(SOURCES / "folder").strip()) / name
    if not found.exists():
        missing(name)
    return str(found)


def cosign(*words: str) -> str:
    command, *rest = words
    return run(tool("cosign"), command, "--allow-http-registry", *rest)


@dataclass(frozen=True)
class Place:
    """A registry and a folder with keys."""

    registry: HttpRegistry
    name: str
    folder: Path

    def push(self, repository: str) -> Descriptor:
        web = self.folder / "web"
        web.mkdir(exist_ok=True)
        (web / "page").write_text("hello\n")
        request = BuildRequest("web", web, read_context(web).entries, repository, ("v1",))
        return LayerBuilder().build(request, self.registry, lambda _line: None)

    def to_sign(self, repository: str, image: Descriptor) -> ImageToSign:
        reference = f"{self.name}/{repository}@{image.digest}"
        return ImageToSign("shop", "web", reference, image, self.registry, repository, COMMIT)


@pytest.fixture(params=["docker-registry", "go-containerregistry"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A registry with the tag that lists referrers, and one with the API for them."""
    need("openssl")
    monkeypatch.setenv("COSIGN_PASSWORD", "made-up")
    if request.param == "docker-registry":
        with running_registry(tmp_path / "registry") as running:
            yield Place(HttpRegistry(running.endpoint), running.name, tmp_path)
        return
    port = free_port()
    with server([tool("registry"), str(port)], tmp_path / "log", lambda: listens(port)):
        endpoint = Endpoint(f"127.0.0.1:{port}", ("http",))
        yield Place(HttpRegistry(endpoint), endpoint.name, tmp_path)


def key_of(place: Place, maker: str) -> PrivateKey:
    """A key whose public half is ``NAME.pub`` in the place's folder, encrypted where cosign makes it."""
    private, public = place.folder / f"{maker}.key", place.folder / f"{maker}.pub"
    if maker == "cosign":
        run(tool("cosign"), "generate-key-pair", "--output-key-prefix", place.folder / maker)
        return PrivateKey(private.read_bytes(), b"made-up", "key")
    run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private)
    run("openssl", "pkey", "-in", private, "-pubout", "-out", public)
    return PrivateKey(private.read_bytes(), None, "key")


@pytest.mark.parametrize(
    ("scheme", "maker"), [("bundle", "openssl"), ("tags", "openssl"), ("bundle", "cosign")]
)
def test_cosign_takes_what_we_sign(place: Place, scheme: str, maker: str) -> None:
    key, public = key_of(place, maker), place.folder / f"{maker}.pub"
    image = place.push("shop/web")
    request = BuildRequest("web", place.folder, (), "shop/web", ())
    said = attest(place.registry, BuildFacts(image, request, "layer:1", COMMIT, "", "", 0, 1))
    sign(place.to_sign("shop/web", image), said, key, scheme)
    name = f"{place.name}/shop/web@{image.digest}"
    checked = ("--key", str(public), "--insecure-ignore-tlog", name)
    cosign("verify", *checked)
    for kind in ("slsaprovenance1", "cyclonedx"):
        cosign("verify-attestation", "--type", kind, *checked)
    other = place.push("shop/other")
    with pytest.raises(AssertionError, match=r"no signatures found|no matching"):
        cosign("verify", *checked[:-1], f"{place.name}/shop/other@{other.digest}")


@pytest.mark.parametrize("bundles", ["true", "false"], ids=["bundle", "tags"])
def test_we_take_what_cosign_signs(place: Place, bundles: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)
    run(tool("cosign"), "generate-key-pair")
    image = place.push("shop/web")
    name = f"{place.name}/shop/web@{image.digest}"
    source = {"uri": f"git+https://git.example.com/shop@{COMMIT}", "digest": {"gitCommit": COMMIT}}
    definition = {"buildType": "x", "externalParameters": {}, "resolvedDependencies": [source]}
    (place.folder / "predicate.json").write_text(
        json.dumps({"buildDefinition": definition, "runDetails": {"builder": {"id": "theirs"}}})
    )
    how = ("--key", "cosign.key", f"--new-bundle-format={bundles}", *LOGLESS)
    cosign("sign", *how, name)
    cosign("attest", *how, "--type", "slsaprovenance1", "--predicate", "predicate.json", name)
    signer = Signer(key="cosign.pub")
    known = what_is_known(place.registry, "shop/web", image.digest, [signer], FileVerifier(place.folder))
    assert known.signers == (signer,)
    assert [(one.builder, one.commits) for one in known.provenance] == [("theirs", (COMMIT,))]


ISSUER = "https://github.com/login/oauth"


@pytest.mark.parametrize(
    ("identity", "issuer", "refusal"),
    [
        ("*@*", ISSUER, None),
        ("somebody@example.com", ISSUER, "its certificate is for "),
        ("*", "https://gitlab.com", "OIDCIssuer does not match"),
    ],
)
def test_an_identity_is_checked_with_the_trust_root_of_the_public_instance(
    identity: str, issuer: str, refusal: str | None
) -> None:
    """With an attestation of an image that cosign made there."""
    public = Path(tool("public"))
    bundle = (public / "oci-attestation.sigstore.json").read_bytes()
    registry = FakeRegistry()
    image = registry.push_manifest("web", "v1", b"{}", "application/vnd.oci.image.manifest.v1+json")
    document = Document(descriptor_of(bundle, "application/vnd.dev.sigstore.bundle.v0.3+json"), bundle)
    registry.blobs["web", document.descriptor.digest] = bundle
    manifest = artifact_manifest(document, image)
    registry.push_manifest("web", "artifact", manifest.content, manifest.descriptor.media_type)
    signer = Signer(identity=identity, issuer=issuer, trust_root="public-good.json")
    (thing,) = signed_things(registry, "web", image.digest)
    found = FileVerifier(public).refusal(signer, thing)
    assert found is None if refusal is None else refusal in str(found)
    if refusal is None:
        said = json.loads(bundle)
        said["dsseEnvelope"]["payload"] = base64.b64encode(thing.payload + b" ").decode()
        other = replace(thing, bundle=json.dumps(said).encode())
        assert "it is not signed by" in str(FileVerifier(public).refusal(signer, other))
    known = what_is_known(registry, "web", image.digest, [signer], FileVerifier(public))
    assert known.signers == ()
    assert refusal or known.refusals == (f"{thing.place}: it is about another image",)
