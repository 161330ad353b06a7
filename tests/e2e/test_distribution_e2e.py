"""Which endpoints of the OCI distribution specification are used, and that real servers answer them.

A proxy notes every request and what the server answered, and refuses whole blobs where it is told to, as
proxies in front of registries do. What it noted is the table of docs/registries.md.
"""

from __future__ import annotations

import http.client
import http.server
import random
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from harness import free_port, listens, missing, run, server
from image_servers import running_registry

from pipegraft.images.adapters.registry.endpoint import Endpoint
from pipegraft.images.adapters.registry.http import HttpRegistry
from pipegraft.testing.images_suite import ReferrersSuite, RegistrySuite, blob_of

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).parents[2] / "docs/registries.md"
LARGE = 32 << 20
SERVERS = ("docker-registry", "distribution 3", "go-containerregistry")
ENDPOINTS = (
    ("end-2", r"(HEAD|GET) /v2/.+/blobs/sha256:\w+"),
    ("end-3", r"(HEAD|GET) /v2/.+/manifests/.+"),
    ("end-11", r"POST /v2/.+/blobs/uploads/\?.*mount="),
    ("end-4a", r"POST /v2/.+/blobs/uploads/"),
    ("end-5", r"PATCH /v2/.+/blobs/uploads/.+"),
    ("end-6", r"PUT /v2/.+/blobs/uploads/.+"),
    ("end-7", r"PUT /v2/.+/manifests/.+"),
    ("end-12a", r"GET /v2/.+/referrers/sha256:\w+"),
    ("end-13", r"GET /v2/.+/blobs/uploads/.+"),
)


class Proxy(http.server.ThreadingHTTPServer):
    """Passes everything on to a port of the loopback."""

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = port
        self.noted: list[tuple[str, int]] = []
        self.largest: int | None = None
        self.breaks: list[bool] = []
        """Whether the next large bodies break in the middle."""
        self.collects = False
        """Whether a body is passed on when it is there as a whole, as nginx does by itself."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def do(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length >= LARGE // 2 and self.server.breaks and self.server.breaks.pop(0):
            self._cut(length // 2)
            return
        body = self.rfile.read(length)
        if len(body) < length:  # the client gave up
            self.close_connection = True
            return
        if self.server.largest is not None and self.command == "PUT" and length > self.server.largest:
            self.server.noted.append((f"{self.command} {self.path}", 413))
            self.send_response(413)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)) as behind:
            behind.request(self.command, self.path, body, dict(self.headers))
            answer = behind.getresponse()
            content = answer.read()
        self.server.noted.append((f"{self.command} {self.path}", answer.status))
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _cut(self, length: int) -> None:
        """Take that much of a body, and break both connections."""
        body = self.rfile.read(length)
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)) as behind:
            if not self.server.collects:
                behind.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    behind.putheader(name, value)
                behind.endheaders(body)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do  # noqa: N815 - the names that the base class calls

    def log_message(self, *_words: object) -> None:
        pass


@contextmanager
def running(name: str, folder: Path) -> Iterator[int]:
    """A real registry on a port of the loopback."""
    if name == "docker-registry":
        with running_registry(folder / "registry") as found:
            yield int(found.name.rpartition(":")[2])
        return
    sources = "distribution" if name == "distribution 3" else "sigstore"
    program = Path(run(Path(__file__).with_name(sources) / "folder").strip()) / "registry"
    if not program.exists():
        missing(f"the registry of {sources}")
    if name == "distribution 3":
        with running_registry(folder / "registry", program=program) as found:
            yield int(found.name.rpartition(":")[2])
        return
    port = free_port()
    with server([str(program), str(port)], folder / "log", lambda: listens(port)):
        yield port


@pytest.fixture(params=[SERVERS[0], *(pytest.param(name, marks=pytest.mark.engines) for name in SERVERS[1:])])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def proxy(kind: str, tmp_path: Path) -> Iterator[Proxy]:
    with ExitStack() as stack:
        found = stack.enter_context(Proxy(stack.enter_context(running(kind, tmp_path))))
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def registry(proxy: Proxy) -> HttpRegistry:
    return HttpRegistry(Endpoint(f"127.0.0.1:{proxy.server_port}", ("http",)), "shop")


class TestRealServers(RegistrySuite):
    @pytest.fixture
    def registry(self, registry: HttpRegistry) -> HttpRegistry:
        return registry


def _noted(proxy: Proxy) -> dict[str, set[int]]:
    """What each endpoint answered."""
    found: dict[str, set[int]] = {}
    for request, status in proxy.noted:
        end = next((end for end, pattern in ENDPOINTS if re.match(pattern, request)), request)
        found.setdefault(end, set()).add(status)
    return found


def _told(kind: str) -> dict[str, set[int]]:
    """What the page says that it answers, without what it says that it is not asked."""
    rows = re.findall(
        r"^\| `(end-\w+)` [^|]*\|[^|]*\|([^|]*)\|([^|]*)\|([^|]*)\|$", PAGE.read_text(), re.MULTILINE
    )
    column = SERVERS.index(kind) + 1
    told = {row[0]: set(map(int, re.findall(r"\d{3}", row[column]))) for row in rows}
    return {end: answers for end, answers in told.items() if answers}


def test_the_page_says_which_endpoints_are_used_and_what_servers_answer(
    kind: str, proxy: Proxy, registry: HttpRegistry
) -> None:
    suite = ReferrersSuite()
    suite.test_finds_an_image_by_tag_and_by_digest(registry)
    suite.test_a_blob_of_another_repository_is_mounted(registry)
    image = suite.push_image(registry, "v1", b"one")
    notes = {suite.attach(registry, image, f"application/x{n}", b"%d" % n) for n in range(3)}
    assert {one.manifest for one in registry.referrers("web", image.digest)} == notes
    proxy.largest = 1000
    large = suite.push_image(registry, "large", b"x" * 5000)
    assert registry.find("web", "large") == large
    assert _noted(proxy) == _told(kind)


@pytest.mark.parametrize("collects", [True, False])
def test_an_upload_that_breaks_twice_arrives(
    proxy: Proxy, registry: HttpRegistry, kind: str, collects: bool
) -> None:
    content = random.Random(0).randbytes(LARGE)
    blob, source = blob_of(content)
    proxy.collects, proxy.breaks = collects, [True, False, True]  # the whole, and the second of two chunks
    registry.push_blob("web", blob, source)
    # What arrived before the break is kept by distribution 3 alone: it gets the rest in one chunk.
    assert proxy.breaks == ([True] if kind == "distribution 3" and not collects else [])
    with registry.open("web", blob.digest) as stream:
        assert stream.read() == content
    if collects and kind == "docker-registry":
        assert sum(request.startswith("POST ") for request, _ in proxy.noted) == 2
        assert 204 in _noted(proxy)["end-13"]
