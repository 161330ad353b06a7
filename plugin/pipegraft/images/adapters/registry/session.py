"""HTTP with a registry: authorization, retries, redirects, and errors people can act on."""

from __future__ import annotations

import ipaddress
import json
import socket
import ssl
import threading
import urllib.parse
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from pipegraft import __version__
from pipegraft.core.clock import Clock
from pipegraft.core.errors import AccessDenied, OutsideError, Unreachable
from pipegraft.images.adapters.registry.retry_policy import AGAIN, Deadline, Patience, retry_after
from pipegraft.images.adapters.registry.settings import Endpoint
from pipegraft.images.adapters.registry.tokens import Tokens
from pipegraft.images.adapters.registry.wire import Answer, Lost, Wire, speaks_tls, with_query

__all__ = ["Session"]

_FORM = {"content-type": "application/x-www-form-urlencoded"}
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
        self._wire = Wire(endpoint.trust, f"pipegraft/{__version__}")
        weakref.finalize(self, self._wire.close)
        self._lock = threading.Lock()
        self._root: str | None = None
        self._tokens: Tokens | None = None
        self._dead: OutsideError | None = None

    def begin(self, what: str, size: int = 0) -> Deadline:
        """A call of the port starts: `what` stands in its errors."""
        return self.patience.start(self.clock, f"registry {self._endpoint.name}: {what}", size)

    def url(self, path: str, deadline: Deadline) -> str:
        """Address of a path below ``/v2/``."""
        return self._connected(deadline)[0] + path

    def request(
        self,
        deadline: Deadline,
        method: str,
        url: str,
        *,
        scopes: tuple[str, ...],
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        good: tuple[int, ...],
    ) -> Answer:
        """Send a request until it is answered with one of the `good` statuses.

        Arguments:
            body: opened anew for each attempt.

        Raises:
            Unreachable, AccessDenied, OutsideError: it never was.
        """
        while True:
            try:
                with self.stream(deadline, method, url, scopes=scopes, headers=headers, body=body) as answer:
                    if answer.status in good:
                        assert isinstance(answer.content, bytes)  # noqa: S101 - read while it is there
                        return answer
                    self.refuse(deadline, answer)
            except Lost as error:
                self.lost(deadline, error)

    @contextmanager
    def stream(
        self,
        deadline: Deadline,
        method: str,
        url: str,
        *,
        scopes: tuple[str, ...],
        headers: Mapping[str, str] | None = None,
        body: Body = None,
    ) -> Iterator[Answer]:
        """Send a request once, but for a challenge; redirects of readers are followed.

        Raises:
            Lost: worth another attempt.
        """
        root, tokens = self._connected(deadline)
        challenged = redirects = 0
        while True:
            own = url.startswith(root) or _origin(url) == _origin(root)
            sent = tokens.header(scopes) if own else None
            sending = self._wire.send(
                method,
                url,
                headers={**(headers or {}), **({"authorization": sent} if sent else {})},
                body=_content(body, deadline),
                silence=deadline.silence(),
            )
            with sending as answer:
                if answer.status == HTTPStatus.UNAUTHORIZED and own and challenged < 2:
                    challenged += 1
                    tokens.challenged(answer.headers, scopes, sent)
                    continue
                if answer.redirected_to and method in ("GET", "HEAD") and redirects < _MOST_REDIRECTS:
                    redirects += 1
                    url = _safe_redirect(url, answer.redirected_to)
                    continue
                yield answer
                return

    def refuse(self, deadline: Deadline, answer: Answer) -> None:
        """Wait if the same request may succeed later.

        Raises:
            OutsideError: it will not.
        """
        said = _reason(answer)
        # A registry on a file system does not show a blob for a moment while another push writes it again.
        if answer.status in AGAIN or "MANIFEST_BLOB_UNKNOWN" in said:
            told = retry_after(answer.headers.get("retry-after"), self.clock.now())
            deadline.wait(said, told if answer.status in (429, 503) else None)
            return
        denied = answer.status in (401, 403)
        path = urllib.parse.urlsplit(answer.url).path
        raise (AccessDenied if denied else OutsideError)(
            f"registry {self._endpoint.name}: {answer.method} {path}: {said}",
            fix="check that the user may do this in this repository" if denied else "",
        )

    def lost(self, deadline: Deadline, error: Lost) -> None:
        """Wait after a connection failed.

        Raises:
            Unreachable: it will fail again, or has failed too often.
        """
        if isinstance(_cause(error, ssl.SSLError), ssl.SSLCertVerificationError):
            raise Unreachable(
                f"registry {self._endpoint.name}: its certificate is not trusted: {error.__cause__}",
                fix="set PIPEGRAFT_REGISTRY_CA to the PEM file of the authority that signed it",
            ) from error
        deadline.wait(_describe(error))

    def safe_upload(self, base: str, location: str | None) -> str:
        """Where an upload goes on: on the registry itself, or at a public address by HTTPS.

        A registry must not be able to send our bytes to a machine of the private network.
        """
        if not location:
            raise OutsideError(f"registry {self._endpoint.name}: it began an upload and did not say where")
        url = urllib.parse.urljoin(base, location)
        own, parts = urllib.parse.urlsplit(base), urllib.parse.urlsplit(url)
        if parts.hostname == own.hostname and (parts.scheme, own.scheme) == ("http", "https"):
            # It stands behind a proxy that ends TLS.
            parts = parts._replace(scheme="https", netloc=own.netloc)
            url = parts.geturl()
        if _origin(url) == _origin(base) or (parts.scheme == "https" and _is_public(parts.hostname or "")):
            return url
        raise OutsideError(
            f"registry {self._endpoint.name}: it sends the upload to {parts.hostname}, "
            "which is neither itself nor a public address by HTTPS",
            fix="correct the registry's external address",
        )

    def _connected(self, deadline: Deadline) -> tuple[str, Tokens]:
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
                    secure=self._root.startswith("https:"),
                )
            return self._root, self._tokens

    def _find_root(self, deadline: Deadline) -> str:
        schemes = self._endpoint.schemes
        while len(schemes) > 1:
            try:
                schemes = ("https",) if speaks_tls(self._endpoint.host, deadline.silence()) else ("http",)
            except Lost as error:
                self.lost(deadline, error)
        return f"{schemes[0]}://{self._endpoint.host}/v2/"

    def _ask_realm(
        self, method: str, url: str, headers: Mapping[str, str], parameters: Mapping[str, str | list[str]]
    ) -> Mapping[str, Any]:
        deadline = self.begin("asking for a token")
        while True:
            try:
                with self._wire.send(
                    method,
                    with_query(url, parameters) if method == "GET" else url,
                    headers={**headers, **(_FORM if method == "POST" else {})},
                    body=with_query("", parameters)[1:].encode() if method == "POST" else None,
                    silence=deadline.silence(),
                ) as answer:
                    if answer.status == HTTPStatus.OK:
                        return _json_object(answer.content, url)
                    self.refuse(deadline, answer)
            except Lost as error:
                self.lost(deadline, error)


def _content(body: Body, deadline: Deadline) -> Iterator[bytes] | bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    return _watched(body(), deadline)


def _watched(blocks: Iterable[bytes], deadline: Deadline) -> Iterator[bytes]:
    for block in blocks:
        deadline.check()
        yield block


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _safe_redirect(url: str, location: str) -> str:
    target = urllib.parse.urljoin(url, location)
    old, new = urllib.parse.urlsplit(url), urllib.parse.urlsplit(target)
    if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme != "https"):
        raise OutsideError(
            f"{old.hostname} sends us from {old.scheme.upper()} to {new.scheme}://{new.hostname}"
        )
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


def _describe(error: Lost) -> str:
    cause = error.__cause__
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__


def _reason(answer: Answer) -> str:
    """Status and what the registry says about it (distribution-spec, error codes)."""
    said = ""
    try:
        content = b""
        for block in answer.blocks():
            content += block
            if len(content) > _LONGEST_ERROR:
                break
        errors = json.loads(content)["errors"]
        said = "; ".join(f"{one.get('code', '')} {one.get('message', '')}".strip() for one in errors)
    except (ValueError, KeyError, TypeError, AttributeError, Lost):
        pass  # the status alone must do
    return f"HTTP {answer.status}{f' ({said})' if said else ''}"


def _json_object(content: bytes, url: str) -> Mapping[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise OutsideError(f"expected a JSON object from {url}")
    return value
