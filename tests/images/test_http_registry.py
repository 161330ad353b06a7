"""The registry over HTTP: the protocol, authorization, and what happens when requests go wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from registry_server import OCI, Fault, RegistryServer, digest_of

from pipegraft.core.adapters.waiting import Patience
from pipegraft.core.errors import AccessDenied, OutsideError
from pipegraft.core.ports import FakeClock
from pipegraft.images.adapters.registry.endpoint import Credentials, Endpoint, Keyring
from pipegraft.images.adapters.registry.http import HttpRegistry
from pipegraft.images.documents import Document, artifact_manifest
from pipegraft.images.ports import Descriptor
from pipegraft.testing.images_suite import ReferrersSuite, RegistrySuite, blob_of

USER = Credentials("user", "secret")
CONTENT = bytes(range(256)) * 64
LARGE = bytes(range(256)) * (20 << 12)  # 20 MiB: worth resuming, two chunks


def connect(
    server: RegistryServer, credentials: Credentials | None = USER, clock: FakeClock | None = None
) -> HttpRegistry:
    endpoint = Endpoint(server.name, ("http",), keyring=Keyring(credentials))
    silence = 0.3 if any(fault.kind == "silent" for fault in server.faults) else 10.0
    return HttpRegistry(endpoint, "shop", Patience(deadline=100, silence=silence), clock or FakeClock())


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as running:
        yield running


class TestHttpRegistry(ReferrersSuite):
    @pytest.fixture(params=["none", "basic", "bearer", "without referrers"])
    def registry(self, request: pytest.FixtureRequest) -> Iterator[HttpRegistry]:
        knows = request.param != "without referrers"
        with RegistryServer(request.param if knows else "none", referrers=knows) as running:
            yield connect(running)


def push(registry: HttpRegistry, content: bytes = CONTENT) -> Descriptor:
    return RegistrySuite().push_image(registry, "v1", content)


# The protocol


def test_a_layer_takes_few_requests(server: RegistryServer) -> None:
    push(connect(server))
    assert len(server.requests) == 7  # for each blob HEAD, POST, PUT; then the manifest


def test_asks_for_oci_manifests_by_name(server: RegistryServer) -> None:
    registry = connect(server)
    assert registry.find("web", "v1") is None
    assert push(registry).media_type == OCI
    assert registry.find("web", "v1") is not None


def test_repositories_are_below_the_prefix(server: RegistryServer) -> None:
    push(connect(server))
    assert {repository for repository, _ in server.blobs} == {"shop/web"}


def test_mounts_from_anywhere_on_the_server(server: RegistryServer) -> None:
    blob, source = blob_of(CONTENT)
    server.blobs["base/python", blob.digest] = CONTENT
    assert connect(server).push_blob("web", blob, source, mount_from="/base/python") == 0
    assert server.blobs["shop/web", blob.digest] == CONTENT
    assert server.count("PUT|PATCH") == 0


def test_a_refused_mount_goes_on_in_the_session_it_was_answered_with(server: RegistryServer) -> None:
    assert connect(server).push_blob("web", *blob_of(CONTENT), mount_from="nowhere") == len(CONTENT)
    assert server.count("POST") == 1


def test_a_mount_without_the_right_to_read_is_an_ordinary_push() -> None:
    with RegistryServer("bearer") as server:
        server.faults = [Fault("POST .*mount=", "status", status=403)]
        assert connect(server).push_blob("web", *blob_of(CONTENT), mount_from="secret") == len(CONTENT)


def test_a_registry_that_takes_no_whole_blobs_gets_chunks() -> None:
    with RegistryServer(whole=False) as server:
        blob, source = blob_of(LARGE)
        connect(server).push_blob("web", blob, source)
        assert server.blobs["shop/web", blob.digest] == LARGE
        assert server.count("PATCH") == 2


def test_chunks_are_as_long_as_the_registry_wants() -> None:
    with RegistryServer(whole=False, chunk=len(LARGE)) as server:
        connect(server).push_blob("web", *blob_of(LARGE))
        assert server.count("PATCH") == 1


def test_chunks_become_smaller_where_a_proxy_refuses_them(server: RegistryServer) -> None:
    server.faults += [Fault("^(PUT|PATCH).*/uploads/", "status", 2, 413)]
    push(connect(server), LARGE)
    assert server.count("^PATCH") == 1 + 5  # one is refused, then 4 MiB each


def test_a_proxy_that_takes_nothing_is_told_with_its_setting(server: RegistryServer) -> None:
    server.faults += [Fault("^(PUT|PATCH).*/uploads/", "status", 99, 413)]
    with pytest.raises(OutsideError, match="chunks of 262144 bytes are too large") as caught:
        push(connect(server), LARGE)
    assert "client_max_body_size" in caught.value.problem.fix


def test_a_chunk_is_there_where_its_range_got_lost() -> None:
    with RegistryServer(whole=False, ranges=False) as server:
        push(connect(server), LARGE)
        assert server.count("^PATCH") == 2 + 1  # the layer's, and the configuration's


def test_a_registry_without_chunks_gets_the_whole_again_after_a_break(server: RegistryServer) -> None:
    server.faults += [Fault("PUT .*uploads", "reset"), Fault("GET .*uploads", "status", 1, 404)]
    server.faults += [Fault("PATCH", "status", 99, 405)]
    push(connect(server), LARGE)
    assert server.count("PATCH") == 1


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("request_kind", ["POST", "PUT .*uploads", "PATCH", "PUT .*manifests"])
def test_writes_are_led_on_within_the_registry(request_kind: str, status: int) -> None:
    with RegistryServer("bearer", whole=False) as server:
        server.faults += [Fault(f"^{request_kind}", "moved", 1, status)]
        push(connect(server), LARGE)
        assert not any(fault.times for fault in server.faults)


def test_writes_are_not_led_to_another_private_address(server: RegistryServer) -> None:
    server.faults += [
        Fault("^POST", "status", 9, 307, {"Location": "https://10.0.0.1/v2/shop/web/blobs/uploads/"})
    ]
    with pytest.raises(OutsideError, match=r"sends the upload to 10\.0\.0\.1"):
        push(connect(server))


@pytest.mark.parametrize("status", [405, 501])
def test_a_registry_that_lets_no_head_pass_is_read(server: RegistryServer, status: int) -> None:
    server.faults += [Fault("^HEAD", "status", 99, status)]
    registry = connect(server)
    assert registry.find("web", "v1") is None
    pushed = push(registry)
    assert registry.find("web", "v1") == pushed


def test_a_manifest_whose_size_is_not_told_is_read(server: RegistryServer) -> None:
    registry = connect(server)
    pushed = push(registry)
    told = {"Content-Type": OCI, "Docker-Content-Digest": pushed.digest}
    server.faults += [Fault("^HEAD", "status", 1, 200, told)]
    assert registry.find("web", "v1") == pushed


@pytest.mark.parametrize("status", [400, 404, 405, 406, 501, 200])
def test_what_answers_for_referrers_without_knowing_them_means_the_tag(status: int) -> None:
    with RegistryServer(referrers=False) as server:
        page = {"Content-Type": "text/html; charset=utf-8"}
        server.faults += [Fault("/referrers/", "status", 99, status, page, b"<html>")]
        registry = connect(server)
        subject = push(registry)
        registry.push_blob("web", *blob_of(b"{}"))
        artifact = artifact_manifest(
            Document(Descriptor("application/x", digest_of(b"{}"), 2), b"{}"), subject
        )
        registry.push_manifest("web", artifact.descriptor.digest, artifact.content, OCI)
        assert [one.manifest for one in registry.referrers("web", subject.digest)] == [artifact.descriptor]


def test_an_absolute_location_on_the_registry_is_followed(server: RegistryServer) -> None:
    server.location = lambda path: f"http://{server.name}{path}"
    push(connect(server))


@pytest.mark.parametrize("host", ["127.0.0.1:1", "10.0.0.1", "169.254.169.254", "localhost:1", "[::1]:1"])
def test_an_upload_is_not_sent_to_another_private_address(server: RegistryServer, host: str) -> None:
    for scheme in ("http", "https"):
        server.location = lambda path, scheme=scheme: f"{scheme}://{host}{path}"
        with pytest.raises(OutsideError, match="neither itself nor a public address"):
            push(connect(server))


def test_a_password_is_not_sent_to_another_host(server: RegistryServer) -> None:
    blob, source = blob_of(CONTENT)
    with RegistryServer("basic") as registry_server:
        registry = connect(registry_server)
        registry.push_blob("web", blob, source)
        server.blobs["shop/web", blob.digest] = CONTENT
        elsewhere = f"http://{server.name}/v2/shop/web/blobs/{blob.digest}"
        registry_server.faults = [Fault("GET .*blobs", "status", status=307, headers={"Location": elsewhere})]
        server.auth = "basic"
        with pytest.raises(OutsideError, match="HTTP 401"), registry.open("web", blob.digest) as stream:
            stream.read()


def test_a_redirect_to_storage_is_followed(server: RegistryServer) -> None:
    registry = connect(server)
    blob, source = blob_of(CONTENT)
    registry.push_blob("web", blob, source)
    with RegistryServer() as storage:
        storage.blobs["shop/web", blob.digest] = CONTENT
        elsewhere = f"http://{storage.name}/v2/shop/web/blobs/{blob.digest}"
        server.faults = [Fault("GET .*blobs", "status", status=307, headers={"Location": elsewhere})]
        with registry.open("web", blob.digest) as stream:
            assert stream.read() == CONTENT
        assert storage.count("GET") == 1


# Authorization


def test_one_token_serves_one_repository_and_right() -> None:
    with RegistryServer("bearer") as server:
        registry = connect(server)
        for number in range(3):
            RegistrySuite().push_image(registry, f"v{number}", b"%d" % number)
            registry.find("web", f"v{number}")
        assert server.count("token") == 2  # pull and push
        registry.find("other", "v1")
        assert server.count("token") == 3


def test_a_token_that_ended_is_bought_again() -> None:
    with RegistryServer("bearer") as server:
        clock = FakeClock()
        registry = connect(server, clock=clock)
        push(registry)
        server.tokens.clear()  # revoked before its time
        assert registry.find("web", "v1") is not None
        assert registry.find("web", "v1") is not None
        clock.sleep(server.lifetime)
        before = server.count("token")
        assert registry.find("web", "v1") is not None
        assert server.count("token") == before + 1


def test_a_token_that_ends_in_mid_push_is_bought_again() -> None:
    with RegistryServer("bearer") as server:
        refusal = {"WWW-Authenticate": f'Bearer realm="http://{server.name}/token",service="test"'}
        server.faults = [Fault("PUT .*uploads", "status", status=401, headers=refusal)]
        push(connect(server))
        assert connect(server).find("web", "v1") is not None


def test_an_identity_token_buys_tokens() -> None:
    with RegistryServer("bearer") as server:
        push(connect(server, Credentials(identity_token="identity")))
        assert server.count("POST /token") > 0


@pytest.mark.parametrize("auth", ["basic", "bearer"])
@pytest.mark.parametrize("credentials", [None, Credentials("user", "wrong")])
def test_wrong_credentials_are_an_error_that_says_what_to_do(
    auth: str, credentials: Credentials | None
) -> None:
    with RegistryServer(auth) as server:
        registry = connect(server, credentials)
        with pytest.raises(AccessDenied) as caught:
            registry.find("web", "v1")
        assert server.name in str(caught.value)
        assert "wrong" not in str(caught.value)
        with pytest.raises(AccessDenied):
            push(registry)


# Faults: each request of a push, each thing that can go wrong with it

REQUESTS = {
    "find": "HEAD .*manifests",
    "token": "token",
    "blob there?": "HEAD .*blobs",
    "mount": "POST .*mount=",
    "begin": "POST .*uploads/$",
    "send": "PUT .*uploads",
    "manifest": "PUT .*manifests",
}
KINDS = {
    "429": {"kind": "status", "status": 429, "headers": {"Retry-After": "7"}},
    "429 for long": {"kind": "status", "status": 429, "headers": {"Retry-After": "3600"}},
    "408": {"kind": "status", "status": 408},
    "500": {"kind": "status", "status": 500},
    "502": {"kind": "status", "status": 502},
    "503": {"kind": "status", "status": 503},
    "504": {"kind": "status", "status": 504},
    "reset": {"kind": "reset"},
    "lost answer": {"kind": "lost"},
    "silent": {"kind": "silent"},
    "another digest": {"kind": "lies"},
}


def deliver(registry: HttpRegistry, content: bytes = CONTENT) -> Descriptor:
    """What image-build asks of a registry."""
    found = registry.find("web", "v1")
    if found is not None:
        return found
    blob, source = blob_of(b"base")
    registry.push_blob("web", blob, source, mount_from="base")
    return push(registry, content)


def held(server: RegistryServer, pushed: Descriptor, content: bytes = CONTENT) -> bool:
    manifest, _ = server.manifests["shop/web", "v1"]
    return digest_of(manifest) == pushed.digest and content in server.blobs.values()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("request_kind", REQUESTS)
def test_one_fault_is_survived_or_said(request_kind: str, kind: str) -> None:
    with RegistryServer("bearer") as server:
        server.faults = [Fault(REQUESTS[request_kind], **KINDS[kind])]
        clock = FakeClock()
        start = clock.now()
        try:
            pushed = deliver(connect(server, clock=clock))
        except OutsideError:
            survivable = {"another digest", "429 for long"}
            assert kind in survivable
        else:
            assert held(server, pushed)
        assert clock.now() - start < 100


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "silent"])
@pytest.mark.parametrize("request_kind", REQUESTS)
def test_a_fault_that_stays_ends_in_time_and_never_in_success(request_kind: str, kind: str) -> None:
    with RegistryServer("bearer") as server:
        server.faults = [Fault(REQUESTS[request_kind], times=10_000, **KINDS[kind])]
        clock = FakeClock()
        start = clock.now()
        try:
            pushed = deliver(connect(server, clock=clock))
        except OutsideError:
            pass  # exit code 3, safe to run again
        else:
            # A mount that never works is an ordinary push; a lie where nothing is said is none.
            assert request_kind == "mount" or kind in ("another digest", "lost answer")
            assert held(server, pushed)
        assert clock.now() - start < 200


def test_retry_after_is_honoured(server: RegistryServer) -> None:
    server.faults = [Fault("PUT", "status", status=429, headers={"Retry-After": "7"})]
    clock = FakeClock()
    push(connect(server, clock=clock))
    assert clock.slept == [7.0]


def test_a_manifest_whose_blobs_do_not_show_yet_is_pushed_again(server: RegistryServer) -> None:
    unknown = json.dumps({"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": ""}]}).encode()
    server.faults = [Fault("PUT .*manifests", "status", status=400, body=unknown)]
    assert held(server, push(connect(server)))


def test_a_reset_in_mid_upload_is_resumed_where_it_broke(server: RegistryServer) -> None:
    server.faults = [Fault("PUT .*uploads", "reset")]
    blob, source = blob_of(LARGE)
    sent = connect(server).push_blob("web", blob, source)
    assert server.blobs["shop/web", blob.digest] == LARGE
    assert server.count("PATCH") == 1
    assert sent < 2 * len(LARGE)


def test_a_reset_in_mid_chunk_is_resumed() -> None:
    with RegistryServer(whole=False) as server:
        server.faults = [Fault("PATCH", "reset")]
        blob, source = blob_of(LARGE)
        connect(server).push_blob("web", blob, source)
        assert server.blobs["shop/web", blob.digest] == LARGE


def test_a_session_the_registry_forgot_is_begun_again(server: RegistryServer) -> None:
    server.faults = [
        Fault("PUT .*uploads", "reset"),
        Fault("GET .*uploads", "status", status=404),
    ]
    blob, source = blob_of(LARGE)
    connect(server).push_blob("web", blob, source)
    assert server.blobs["shop/web", blob.digest] == LARGE
    assert server.count("POST") == 2


def test_a_blob_whose_answer_was_lost_is_not_sent_again(server: RegistryServer) -> None:
    server.faults = [Fault("PUT .*uploads", "lost")]
    push(connect(server))
    assert server.count("PUT .*uploads") == 2  # the layer and the configuration, once each


@pytest.mark.parametrize("kind", ["truncated", "reset", "lies", "silent"])
def test_a_read_that_breaks_is_continued_or_refused(server: RegistryServer, kind: str) -> None:
    registry = connect(server)
    blob, source = blob_of(LARGE)
    registry.push_blob("web", blob, source)
    server.faults = [Fault("GET .*blobs", kind, times=1000 if kind == "lies" else 1)]
    registry = connect(server)  # which waits as long as the fault asks for
    if kind == "lies":
        with pytest.raises(OutsideError), registry.open("web", blob.digest) as stream:
            stream.read()
    else:
        with registry.open("web", blob.digest) as stream:
            assert stream.read() == LARGE


def test_a_read_that_breaks_for_ever_fails(server: RegistryServer) -> None:
    registry = connect(server)
    blob, source = blob_of(CONTENT)
    registry.push_blob("web", blob, source)
    server.faults = [Fault("GET .*blobs", "reset", times=1000)]
    with pytest.raises(OutsideError), registry.open("web", blob.digest) as stream:
        stream.read()


def test_a_dead_registry_is_an_outside_error_in_time() -> None:
    with RegistryServer() as server:
        name = server.name
    clock = FakeClock()
    start = clock.now()
    registry = HttpRegistry(Endpoint(name, ("http",)), clock=clock)
    with pytest.raises(OutsideError) as caught:
        registry.find("web", "v1")
    assert name in str(caught.value)
    assert caught.value.exit_code == 3
    assert 0 < clock.now() - start < 60


def test_a_registry_found_dead_is_not_waited_for_by_every_call() -> None:
    with RegistryServer() as server:
        name = server.name
    clock = FakeClock()
    registry = HttpRegistry(Endpoint(name, ("https", "http")), clock=clock)
    with pytest.raises(OutsideError):
        registry.find("web", "v1")
    waited = len(clock.slept)
    with pytest.raises(OutsideError):
        registry.find("api", "v1")
    assert len(clock.slept) == waited > 0


def test_a_denied_push_is_not_tried_again(server: RegistryServer) -> None:
    server.faults = [Fault("POST", "status", status=403, times=100)]
    with pytest.raises(AccessDenied):
        push(connect(server))
    assert server.count("POST") == 1


def test_what_the_registry_says_is_in_the_message(server: RegistryServer) -> None:
    with pytest.raises(OutsideError, match="MANIFEST_BLOB_UNKNOWN manifest_blob_unknown"):
        connect(server).push_manifest(
            "web", "v1", json.dumps({"config": {"digest": "sha256:0"}}).encode(), OCI
        )


# Referrers


@pytest.mark.parametrize("known", [True, False])
def test_a_registry_without_the_referrers_api_gets_a_list_by_tag(known: bool) -> None:
    with RegistryServer(referrers=known) as server:
        registry = connect(server)
        image = push(registry)
        blob, source = blob_of(b"{}", "application/vnd.oci.empty.v1+json")
        registry.push_blob("web", blob, source)
        artifacts = [
            artifact_manifest(Document(Descriptor(f"application/{name}", blob.digest, 2), b"{}"), image)
            for name in ("one", "two", "two")
        ]
        for artifact in artifacts:
            registry.push_manifest("web", artifact.descriptor.digest, artifact.content, OCI)
        held = server.manifests.get(("shop/web", image.digest.replace(":", "-")))
        if known:
            assert held is None
        else:
            assert [one["artifactType"] for one in json.loads(held[0])["manifests"]] == [
                "application/one",
                "application/two",
            ]


def test_a_tag_that_resolves_to_the_image_itself_is_no_list_of_referrers() -> None:
    with RegistryServer(referrers=False, resolves_digests=True) as server:
        registry = connect(server)
        image = push(registry)
        blob, source = blob_of(b"{}", "application/vnd.oci.empty.v1+json")
        registry.push_blob("web", blob, source)
        assert registry.referrers("web", image.digest) == ()
        for name in ("one", "two"):
            document = Document(Descriptor(f"application/{name}", blob.digest, 2), b"{}")
            artifact = artifact_manifest(document, image)
            registry.push_manifest("web", artifact.descriptor.digest, artifact.content, OCI)
        found = [one.artifact_type for one in registry.referrers("web", image.digest)]
        assert found == ["application/one", "application/two"]


def test_a_manifest_that_is_accepted_without_its_digest_is_looked_up() -> None:
    with RegistryServer(quiet=True) as server:
        assert held(server, push(connect(server)))
        assert server.count("HEAD .*manifests/v1") == 1
