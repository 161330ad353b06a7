"""HTTP with one registry: its scheme, authorization by scope, and where uploads may go."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import httpx2

from pipegraft.core.adapters.attempts import Again, Attempts, Patience
from pipegraft.core.adapters.http import Answer, Http, same_origin
from pipegraft.core.clock import Clock
from pipegraft.core.errors import OutsideError
from pipegraft.images.adapters.registry.authorization import Tokens
from pipegraft.images.adapters.registry.settings import Endpoint

__all__ = ["Session"]

_MOST_CHALLENGES = 2
_STORED_LATER = "MANIFEST_BLOB_UNKNOWN"
"""A registry on a file system does not show a blob for a moment while another push writes it again."""


class Session:
    """Requests to one registry, from any thread.

    Arguments:
        endpoint: where it is and who we are.
        patience: limits of each call.
    """

    def __init__(
        self, endpoint: Endpoint, patience: Patience | None = None, clock: Clock | None = None
    ) -> None:
        self._endpoint = endpoint
        self.http = Http(
            f"registry {endpoint.name}",
            trust=endpoint.trust(),
            patience=patience,
            clock=clock,
            untrusted="set PIPEGRAFT_REGISTRY_CA to the PEM file of the authority that signed it",
            denied="check that the user may do this in this repository",
        )
        self._lock = threading.Lock()
        self._root: str | None = None
        self._tokens: Tokens | None = None
        self._dead: OutsideError | None = None

    def url(self, path: str, attempts: Attempts) -> str:
        """Address of a path below ``/v2/``."""
        return self._connected(attempts)[0] + path

    def request(
        self,
        attempts: Attempts,
        method: str,
        url: str,
        *,
        scopes: tuple[str, ...],
        good: Container[int],
        **request: Any,
    ) -> Answer:
        """Send a request until it is answered with one of the `good` statuses, and read the answer.

        Raises:
            Unreachable, AccessDenied, OutsideError: it never was.
        """
        for attempt in attempts:
            with attempt, self.stream(attempts, method, url, scopes=scopes, **request) as answer:
                self._require(answer, good)
                return self.http.read(answer)
        raise AssertionError("attempts end with an answer or an error")

    @contextmanager
    def stream(
        self,
        attempts: Attempts,
        method: str,
        url: str,
        *,
        scopes: tuple[str, ...],
        headers: Mapping[str, str] | None = None,
        **request: Any,
    ) -> Iterator[httpx2.Response]:
        """Send a request once, but for challenges; readers are led on to wherever blobs are stored.

        Raises:
            Again: worth another attempt.
        """
        root, tokens = self._connected(attempts)
        for challenges in range(_MOST_CHALLENGES + 1):
            sent = tokens.header(scopes) if same_origin(url, root) else None
            given = {**(headers or {}), **({"Authorization": sent} if sent else {})}
            with self.http.stream(attempts, method, url, elsewhere=True, headers=given, **request) as answer:
                own = same_origin(str(answer.url), root)
                if answer.status_code != HTTPStatus.UNAUTHORIZED or not own or challenges == _MOST_CHALLENGES:
                    yield answer
                    return
                tokens.challenged(answer.headers, scopes, sent)

    def safe_upload(self, base: str, location: str | None) -> str:
        """Where an upload goes on: on the registry itself, or at a public address by HTTPS.

        A registry must not be able to send our bytes to a machine of the private network.
        """
        if not location:
            raise OutsideError(f"{self.http.name}: it began an upload and did not say where")
        url = urllib.parse.urljoin(base, location)
        own, parts = urllib.parse.urlsplit(base), urllib.parse.urlsplit(url)
        if parts.hostname == own.hostname and (parts.scheme, own.scheme) == ("http", "https"):
            # It stands behind a proxy that ends TLS.
            parts = parts._replace(scheme="https", netloc=own.netloc)
            url = parts.geturl()
        if same_origin(url, base) or (parts.scheme == "https" and _is_public(parts.hostname or "")):
            return url
        raise OutsideError(
            f"{self.http.name}: it sends the upload to {parts.hostname}, "
            "which is neither itself nor a public address by HTTPS",
            fix="correct the registry's external address",
        )

    def _require(self, answer: httpx2.Response, good: Container[int]) -> None:
        try:
            self.http.require(answer, good)
        except OutsideError as error:
            if _STORED_LATER in error.problem.message:
                raise Again(error.problem.message) from error
            raise

    def _connected(self, attempts: Attempts) -> tuple[str, Tokens]:
        with self._lock:
            if self._dead is not None:
                raise self._dead
            if self._root is None or self._tokens is None:
                try:
                    self._root = self._find_root(attempts)
                except OutsideError as error:
                    self._dead = error  # the calls that wait here would each try as long, one after another
                    raise
                secure = self._root.startswith("https:")
                self._tokens = Tokens(self.http, self._endpoint.keyring, secure=secure)
            return self._root, self._tokens

    def _find_root(self, attempts: Attempts) -> str:
        host = self._endpoint.host
        scheme = self._endpoint.schemes[0]
        for attempt in attempts if len(self._endpoint.schemes) > 1 else ():
            with attempt:
                try:
                    with self.http.stream(attempts, "HEAD", f"https://{host}/v2/"):
                        scheme = "https"
                except Again as error:
                    if not isinstance(_first_cause(error), ssl.SSLError):
                        raise
                    scheme = "http"
        return f"{scheme}://{host}/v2/"


def _first_cause(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def _is_public(host: str) -> bool:
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(address).is_global for address in found)
