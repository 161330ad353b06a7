"""HTTP with a registry: authorization, retries, redirects, and errors people can act on."""

from __future__ import annotations

import ipaddress
import json
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from pipegraft import __version__
from pipegraft.adapters.registry.patience import AGAIN, Deadline, Patience, retry_after
from pipegraft.adapters.registry.settings import Endpoint
from pipegraft.adapters.registry.tokens import Tokens
from pipegraft.errors import AccessDenied, OutsideError, Unreachable
from pipegraft.ports.clock import Clock

__all__ = ["Session"]

_CONNECTIONS = 32
_MOST_REDIRECTS = 5
_LONGEST_ERROR = 1 << 16

Body = Callable[[], Iterable[bytes]] | bytes | None


class Session:
    """A connection pool to one registry.

    Arguments:
        endpoint: where it is and who we are.
        patience: limits of each call.
    """

    def __init__(self, endpoint: Endpoint, patience: Patience, clock: Clock) -> None:
        self.patience = patience
        self.clock = clock
        self._endpoint = endpoint
        self._client = httpx.Client(
            verify=endpoint.trust(),
            headers={"user-agent": f"pipegraft/{__version__}"},
            limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
            mounts={"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None},
        )
        weakref.finalize(self, self._client.close)
        self._lock = threading.Lock()
        self._root: httpx.URL | None = None
        self._tokens: Tokens | None = None
        self._dead: OutsideError | None = None

    def begin(self, what: str, size: int = 0) -> Deadline:
        """A call of the port starts: `what` stands in its errors."""
        return self.patience.start(self.clock, f"registry {self._endpoint.name}: {what}", size)

    def url(self, path: str, deadline: Deadline) -> httpx.URL:
        """Address of a path below ``/v2/``."""
        return self._connected(deadline)[0].join(path)

    def request(
        self,
        deadline: Deadline,
        method: str,
        url: httpx.URL,
        *,
        scopes: tuple[str, ...],
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        good: tuple[int, ...],
    ) -> httpx.Response:
        """Send a request until it is answered with one of the `good` statuses.

        Arguments:
            body: opened anew for each attempt.

        Raises:
            Unreachable, AccessDenied, OutsideError: it never was.
        """
        while True:
            try:
                with self.stream(deadline, method, url, scopes=scopes, headers=headers, body=body) as answer:
                    if answer.status_code in good:
                        answer.read()
                        return answer
                    self.refuse(deadline, answer)
            except httpx.TransportError as error:
                self.lost(deadline, error)

    @contextmanager
    def stream(
        self,
        deadline: Deadline,
        method: str,
        url: httpx.URL,
        *,
        scopes: tuple[str, ...],
        headers: Mapping[str, str] | None = None,
        body: Body = None,
    ) -> Iterator[httpx.Response]:
        """Send a request once, but for a challenge; redirects of readers are followed.

        Raises:
            httpx.TransportError: worth another attempt.
        """
        root, tokens = self._connected(deadline)
        challenged = redirects = 0
        while True:
            own = _origin(url) == _origin(root)
            sent = tokens.header(scopes) if own else None
            request = self._client.build_request(
                method,
                url,
                headers={**(headers or {}), **({"authorization": sent} if sent else {})},
                content=_content(body, deadline),
                timeout=deadline.silence(),
            )
            answer = self._client.send(request, stream=True)
            try:
                if answer.status_code == httpx.codes.UNAUTHORIZED and own and challenged < 2:
                    challenged += 1
                    tokens.challenged(answer.headers, scopes, sent)
                    continue
                if answer.has_redirect_location and method in ("GET", "HEAD") and redirects < _MOST_REDIRECTS:
                    redirects += 1
                    url = _safe_redirect(url, answer)
                    continue
                yield answer
                return
            finally:
                answer.close()

    def refuse(self, deadline: Deadline, answer: httpx.Response) -> None:
        """Wait if the same request may succeed later.

        Raises:
            OutsideError: it will not.
        """
        said = _reason(answer)
        if answer.status_code in AGAIN:
            told = retry_after(answer.headers.get("retry-after"), self.clock.now())
            deadline.wait(said, told if answer.status_code in (429, 503) else None)
            return
        denied = answer.status_code in (401, 403)
        raise (AccessDenied if denied else OutsideError)(
            f"registry {self._endpoint.name}: {answer.request.method} {answer.request.url.path}: {said}",
            fix="check that the user may do this in this repository" if denied else "",
        )

    def lost(self, deadline: Deadline, error: httpx.TransportError) -> None:
        """Wait after a connection failed.

        Raises:
            Unreachable: it will fail again, or has failed too often.
        """
        if isinstance(_cause(error, ssl.SSLError), ssl.SSLCertVerificationError):
            raise Unreachable(
                f"registry {self._endpoint.name}: its certificate is not trusted: {error}",
                fix="set PIPEGRAFT_REGISTRY_CA to the PEM file of the authority that signed it",
            ) from error
        deadline.wait(_describe(error))

    def safe_upload(self, base: httpx.URL, location: str | None) -> httpx.URL:
        """Where an upload goes on: on the registry itself, or at a public address by HTTPS.

        A registry must not be able to send our bytes to a machine of the private network.
        """
        if not location:
            raise OutsideError(f"registry {self._endpoint.name}: it began an upload and did not say where")
        url = base.join(location)
        if url.host == base.host and url.scheme == "http" and base.scheme == "https":
            url = url.copy_with(scheme="https", port=base.port)  # it stands behind a proxy that ends TLS
        if _origin(url) == _origin(base) or (url.scheme == "https" and _is_public(url.host)):
            return url
        raise OutsideError(
            f"registry {self._endpoint.name}: it sends the upload to {url.host}, "
            "which is neither itself nor a public address by HTTPS",
            fix="correct the registry's external address",
        )

    def _connected(self, deadline: Deadline) -> tuple[httpx.URL, Tokens]:
        with self._lock:
            if self._dead is not None:
                raise self._dead
            if self._root is None or self._tokens is None:
                try:
                    self._root = self._find_root(deadline)
                except OutsideError as error:
                    self._dead = error  # the calls that wait here would each try as long, one after another
                    raise
                self._tokens = Tokens(
                    self._endpoint.name,
                    self._endpoint.credentials,
                    self._ask_realm,
                    self.clock,
                    secure=self._root.scheme == "https",
                )
            return self._root, self._tokens

    def _find_root(self, deadline: Deadline) -> httpx.URL:
        roots = [httpx.URL(f"{scheme}://{self._endpoint.host}/v2/") for scheme in self._endpoint.schemes]
        while len(roots) > 1:
            try:
                self._client.get(roots[0], timeout=deadline.silence())
                break
            except httpx.TransportError as error:
                tls = _cause(error, ssl.SSLError)
                if tls is None or isinstance(tls, ssl.SSLCertVerificationError):
                    self.lost(deadline, error)
                else:
                    roots.pop(0)
        return roots[0]

    def _ask_realm(
        self, method: str, url: str, headers: Mapping[str, str], parameters: Mapping[str, str | list[str]]
    ) -> Mapping[str, Any]:
        deadline = self.begin("asking for a token")
        while True:
            try:
                answer = self._client.request(
                    method,
                    url,
                    headers=dict(headers),
                    params=parameters if method == "GET" else None,
                    data=parameters if method == "POST" else None,
                    timeout=deadline.silence(),
                )
                if answer.status_code == httpx.codes.OK:
                    return _json_object(answer.content, url)
                self.refuse(deadline, answer)
            except httpx.TransportError as error:
                self.lost(deadline, error)


def _content(body: Body, deadline: Deadline) -> Iterator[bytes] | bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    return _watched(body(), deadline)


def _watched(blocks: Iterable[bytes], deadline: Deadline) -> Iterator[bytes]:
    for block in blocks:
        deadline.check()
        yield block


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _safe_redirect(url: httpx.URL, answer: httpx.Response) -> httpx.URL:
    target = url.join(answer.headers["location"])
    if url.scheme == "https" and target.scheme != "https":
        raise OutsideError(f"{url.host} sends us from HTTPS to {target.scheme}://{target.host}")
    return target


def _is_public(host: str) -> bool:
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(address).is_global for address in found)


def _cause(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    """What of this kind an error came from."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, kind):
        cause = cause.__cause__ or cause.__context__
    return cause


def _describe(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _reason(answer: httpx.Response) -> str:
    """Status and what the registry says about it (distribution-spec, error codes)."""
    said = ""
    try:
        content = b""
        for block in answer.iter_bytes():
            content += block
            if len(content) > _LONGEST_ERROR:
                break
        errors = json.loads(content)["errors"]
        said = "; ".join(f"{one.get('code', '')} {one.get('message', '')}".strip() for one in errors)
    except (ValueError, KeyError, TypeError, AttributeError, httpx.TransportError, httpx.StreamError):
        pass  # the status alone must do
    return f"HTTP {answer.status_code}{f' ({said})' if said else ''}"


def _json_object(content: bytes, url: str) -> Mapping[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise OutsideError(f"expected a JSON object from {url}")
    return value
