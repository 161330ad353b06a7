"""A registry in this process, on the loopback, that misbehaves where a test tells it to."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import socket
import struct
import threading
import urllib.parse
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass
class Fault:
    """What goes wrong with requests that match, `times` over.

    Arguments:
        matches: method and path.
        kind: ``status``, ``reset`` (in the middle of the request), ``lost`` (the work is done, the answer
            is not sent), ``silent`` (no answer at all), ``truncated`` (half of the body), ``lies`` (another
            digest), ``moved`` (sent to the same place by an absolute address).
    """

    matches: str
    kind: str
    times: int = 1
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class RegistryServer:
    """The distribution-spec, as far as a client can see it.

    Arguments:
        auth: `none`, `basic` or `bearer`; user and password are ``user`` and ``secret``.
        whole: take blobs in one PUT; else answer 413 and want chunks.
        chunk: OCI-Chunk-Min-Length to announce.
        referrers: know the referrers API.
        resolves_digests: answer the tag ``sha256-HEX`` with the image of that digest.
        quiet: answer a pushed manifest with 202, and without its digest.
        ranges: say how much of an upload arrived.
    """

    def __init__(
        self,
        auth: str = "none",
        *,
        whole: bool = True,
        chunk: int = 0,
        referrers: bool = True,
        resolves_digests: bool = False,
        quiet: bool = False,
        ranges: bool = True,
    ) -> None:
        self.resolves_digests, self.quiet, self.ranges = resolves_digests, quiet, ranges
        self.auth, self.whole, self.chunk, self.referrers = auth, whole, chunk, referrers
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.numbers = itertools.count()
        self.tokens: dict[str, set[str]] = {}
        self.requests: list[str] = []
        self.sources: list[int] = []
        self.faults: list[Fault] = []
        self.location: Callable[[str], str] = lambda path: path
        self.lifetime = 300
        self.lock = threading.Lock()
        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True)

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def fault(self, request: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.matches, request):
                    fault.times -= 1
                    return fault
        return None

    def count(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, request)) for request in self.requests)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _handler(server: RegistryServer) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        registry = server

    return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: RegistryServer

    def log_message(self, *arguments: object) -> None:
        pass

    def do(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        self.query = urllib.parse.parse_qs(url.query)
        self.fault: Fault | None = None
        self.body_read = False
        request = f"{self.command} {url.path}{'?' + url.query if url.query else ''}"
        with self.registry.lock:
            self.registry.requests.append(request)
        fault = self.registry.fault(request)
        if fault is not None and self._fail(fault):
            return
        if url.path == "/token":
            self._token()
        elif self._allowed(url.path):
            self._route(url.path)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do  # noqa: N815 - http.server's names

    def _fail(self, fault: Fault) -> bool:
        if fault.kind == "status":
            self.body()  # an answer beside a body on its way may get lost with the connection
            self.answer(fault.status, fault.body, {"Connection": "close", **fault.headers})
        elif fault.kind == "moved":
            self.body()
            self.answer(fault.status, headers={"Location": f"http://{self.registry.name}{self.path}"})
        elif fault.kind == "reset":
            length = int(self.headers.get("content-length", 0))
            arrived = self.rfile.read(length // 2)
            upload = self.registry.uploads.get(self.path.split("?")[0])
            if upload is not None:
                upload += arrived
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        elif fault.kind == "silent":
            self.registry.released.wait(20)
            self.close_connection = True
        else:
            self.fault = fault
            return False
        return True

    def body(self) -> bytes:
        self.body_read = True
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def answer(
        self,
        status: int,
        content: bytes = b"",
        headers: dict[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        if not self.body_read and not self.close_connection:
            self.body()
        if self.fault is not None and self.fault.kind == "lost":
            self.close_connection = True
            return
        given = dict(headers or {})
        if self.fault is not None and self.fault.kind == "lies" and "Docker-Content-Digest" in given:
            given["Docker-Content-Digest"] = "sha256:" + "f" * 64
        self.send_response(status)
        for name, value in given.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        if self.command != "HEAD" and content:
            if self.fault is not None and self.fault.kind == "lies":
                content = content[:-1] + bytes([content[-1] ^ 1])
            if self.fault is not None and self.fault.kind == "truncated":
                content = content[: len(content) // 2]
                self.close_connection = True
            with suppress(ConnectionError):  # the client has heard enough
                self.wfile.write(content)

    def refuse(self, status: int, code: str) -> None:
        self.answer(status, json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode())

    def _allowed(self, path: str) -> bool:
        registry, given = self.registry, self.headers.get("authorization", "")
        if registry.auth == "none":
            return True
        if registry.auth == "basic":
            if given == "Basic " + base64.b64encode(b"user:secret").decode():
                return True
            self.answer(401, headers={"WWW-Authenticate": 'Basic realm="registry"'})
            return False
        wanted = self._scopes(path)
        granted = registry.tokens.get(given.removeprefix("Bearer "), set())
        if wanted <= granted:
            return True
        scope = " ".join(f"repository:{name}:{right}" for name, right in sorted(wanted))
        challenge = f'Bearer realm="http://{registry.name}/token",service="test",scope="{scope}"'
        self.answer(401, headers={"WWW-Authenticate": challenge})
        return False

    def _scopes(self, path: str) -> set[tuple[str, str]]:
        found = re.match(r"/v2/(.+?)/(?:blobs|manifests|referrers)/", path)
        if not found:
            return set()
        right = "pull" if self.command in ("GET", "HEAD") and "/uploads/" not in path else "push"
        wanted = {(found[1], right)}
        if "from" in self.query:
            wanted.add((self.query["from"][0], "pull"))
        return wanted

    def _token(self) -> None:
        expected = "Basic " + base64.b64encode(b"user:secret").decode()
        form = urllib.parse.parse_qs(self.body().decode())
        if self.headers.get("authorization") != expected and form.get("refresh_token") != ["identity"]:
            self.refuse(401, "UNAUTHORIZED")
            return
        granted = set()
        for scope in " ".join(form.get("scope", self.query.get("scope", []))).split():
            _, name, rights = scope.split(":")
            granted |= {(name, right) for right in rights.split(",")}
        with self.registry.lock:
            token = f"t{len(self.registry.tokens)}"
            self.registry.tokens[token] = granted
        self.answer(200, json.dumps({"token": token, "expires_in": self.registry.lifetime}).encode())

    def _route(self, path: str) -> None:
        if path == "/v2/":
            self.answer(200)
        elif found := re.fullmatch(r"/v2/(.+)/blobs/uploads/", path):
            self._begin(found[1])
        elif found := re.fullmatch(r"/v2/(.+)/blobs/uploads/.+", path):
            self._upload(found[1], path)
        elif found := re.fullmatch(r"/v2/(.+)/blobs/(.+)", path):
            self._blob(found[1], found[2])
        elif found := re.fullmatch(r"/v2/(.+)/manifests/(.+)", path):
            self._manifest(found[1], found[2])
        elif self.registry.referrers and (found := re.fullmatch(r"/v2/(.+)/referrers/(.+)", path)):
            self._referrers(path, found[1], found[2])
        else:
            self.refuse(404, "UNSUPPORTED")

    def _begin(self, repository: str) -> None:
        registry = self.registry
        mounted = (self.query.get("from", [""])[0], self.query.get("mount", [""])[0])
        if mounted in registry.blobs:
            registry.blobs[repository, mounted[1]] = registry.blobs[mounted]
            self.answer(201, headers={"Docker-Content-Digest": mounted[1]})
            return
        with registry.lock:
            path = f"/v2/{repository}/blobs/uploads/u{next(registry.numbers)}"
            registry.uploads[path] = bytearray()
        headers = {"Location": registry.location(f"{path}?_state=abc%3D"), "Range": "0-0"}
        if registry.chunk:
            headers["OCI-Chunk-Min-Length"] = str(registry.chunk)
        self.answer(202, headers=headers)

    def _upload(self, repository: str, path: str) -> None:
        registry = self.registry
        if path not in registry.uploads:
            self.refuse(404, "BLOB_UPLOAD_UNKNOWN")
            return
        if self.command == "DELETE":
            del registry.uploads[path]
            self.answer(204)
            return
        held = registry.uploads[path]
        headers = {"Location": registry.location(path), "Range": f"0-{max(0, len(held) - 1)}"}
        if self.command == "GET":
            self.answer(204, headers=headers)
            return
        if self.command == "PUT" and not registry.whole and int(self.headers["content-length"]):
            self.refuse(413, "SIZE_INVALID")
            return
        start = self.headers.get("content-range", "").partition("-")[0]
        if start and int(start) != len(held):
            self.refuse(416, "RANGE_INVALID")
            return
        held += self.body()
        if self.command == "PATCH":
            del headers["Range"]
            self.answer(202, headers=headers | ({"Range": f"0-{len(held) - 1}"} if registry.ranges else {}))
            return
        digest = self.query["digest"][0]
        del registry.uploads[path]
        if digest_of(bytes(held)) != digest:
            self.refuse(400, "DIGEST_INVALID")
            return
        registry.blobs[repository, digest] = bytes(held)
        self.answer(201, headers={"Docker-Content-Digest": digest})

    def _blob(self, repository: str, digest: str) -> None:
        content = self.registry.blobs.get((repository, digest))
        if content is None:
            self.refuse(404, "BLOB_UNKNOWN")
            return
        start = int(re.sub(r"bytes=(\d+)-", r"\1", self.headers.get("range", "0")))
        headers = {"Docker-Content-Digest": digest}
        length = len(content) - start if self.command == "HEAD" else None
        self.answer(206 if start else 200, content[start:], headers, length=length)

    def _manifest(self, repository: str, reference: str) -> None:
        registry = self.registry
        if self.command == "PUT":
            self._put_manifest(repository, reference)
            return
        held = registry.manifests.get((repository, reference))
        if registry.resolves_digests and re.fullmatch(r"sha256-[0-9a-f]{64}", reference):
            held = registry.manifests.get((repository, reference.replace("-", ":")))
        if held is None or held[1] not in self.headers.get("accept", ""):
            self.refuse(404, "MANIFEST_UNKNOWN")
            return
        headers = {"Content-Type": held[1], "Docker-Content-Digest": digest_of(held[0])}
        self.answer(200, held[0], headers, length=len(held[0]) if self.command == "HEAD" else None)

    def _referrers(self, path: str, repository: str, subject: str) -> None:
        """Two a page."""
        held = {
            digest_of(content): (json.loads(content), content, kind)
            for (name, _), (content, kind) in self.registry.manifests.items()
            if name == repository
        }
        entries = [
            {"mediaType": kind, "digest": digest, "size": len(content), "artifactType": one["artifactType"]}
            for digest, (one, content, kind) in sorted(held.items())
            if one.get("subject", {}).get("digest") == subject
        ]
        start = int(self.query.get("last", ["0"])[0])
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries[start : start + 2]}
        headers = {"Content-Type": INDEX}
        if len(entries) > start + 2:
            headers["Link"] = f'<{path}?last={start + 2}>; rel="next"'
        self.answer(200, json.dumps(index).encode(), headers)

    def _put_manifest(self, repository: str, reference: str) -> None:
        registry, content = self.registry, self.body()
        manifest = json.loads(content)
        wanted = [one["digest"] for one in [*manifest.get("layers", []), manifest.get("config")] if one]
        if any((repository, digest) not in registry.blobs for digest in wanted):
            self.refuse(400, "MANIFEST_BLOB_UNKNOWN")
            return
        digest = digest_of(content)
        for name in {reference, digest}:
            registry.manifests[repository, name] = (content, self.headers["content-type"])
        headers = {"Docker-Content-Digest": digest}
        if registry.referrers and "subject" in manifest:
            headers["OCI-Subject"] = manifest["subject"]["digest"]
        if registry.quiet:
            self.answer(202)
            return
        self.answer(201, headers=headers)
