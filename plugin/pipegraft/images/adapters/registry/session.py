"""HTTP with one registry: its scheme, authorization by scope, and where uploads may go.

Sources: RFC 9110, section 11; distribution's token specification.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx2

from pipegraft.core.adapters.http import Answer, Http, basic, same_origin
from pipegraft.core.adapters.waiting import Again, Attempts, Patience
from pipegraft.core.errors import AccessDenied, OutsideError
from pipegraft.core.foreign_text import keep_secret
from pipegraft.core.ports import Clock
from pipegraft.images.adapters.registry.endpoint import Credentials, Endpoint, Keyring

__all__ = ["Challenge", "Session", "Tokens", "parse_challenges", "pull_scope", "push_scope"]

_LIFETIME = 60.0
"""Seconds a token lives when the registry does not say (distribution token spec)."""
_MARGIN = 10.0
"""Seconds before its end at which a token is not used any more."""
_LARGEST = 1 << 20
"""Bytes of a realm's answer that are read."""
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 - RFC 9110's token, a word of its grammar
_PART = re.compile(
    rf'\s*,?\s*(?:(?P<name>{_TOKEN})\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>{_TOKEN}))'
    rf"|(?P<scheme>{_TOKEN})(?:\s+|$|(?=,)))"
)

_MOST_CHALLENGES = 2
_MOST_MOVES = 5
_MOVED = (HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT)
"""Answers after which the same request is sent elsewhere, body and all (RFC 9110, 15.4.8)."""
_STORED_LATER = "MANIFEST_BLOB_UNKNOWN"
"""A registry on a file system does not show a blob for a moment while another push writes it again."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate.

    Arguments:
        scheme: in lower case: ``basic``, ``bearer``.
        parameters: by name in lower case: ``realm``, ``service``, ``scope``, ``error``.
    """

    scheme: str
    parameters: dict[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """Read a `WWW-Authenticate` header; reading ends where the header stops making sense."""
    found: list[Challenge] = []
    at = 0
    while part := _PART.match(header, at):
        at = part.end()
        if part["scheme"]:
            found.append(Challenge(part["scheme"].lower(), {}))
        elif found:
            value = part["plain"] if part["quoted"] is None else re.sub(r"\\(.)", r"\1", part["quoted"])
            found[-1].parameters[part["name"].lower()] = value
    return found


def pull_scope(repository: str) -> str:
    """The right to read a repository."""
    return f"repository:{repository}:pull"


def push_scope(repository: str) -> str:
    """The right to read and write a repository."""
    return f"repository:{repository}:pull,push"


class Tokens:
    """Remembers how a registry wants to be asked, and one token for each set of scopes.

    Arguments:
        http: asks realms.
        keyring: who we are.
        secure: whether the registry is reached by HTTPS: then no realm is asked by plain HTTP.
    """

    def __init__(self, http: Http, keyring: Keyring, *, secure: bool) -> None:
        self._http = http
        self._keyring = keyring
        self._secure = secure
        self._challenge: Challenge | None = None
        self._held: dict[tuple[str, ...], tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._locks: dict[tuple[str, ...], threading.Lock] = {}

    def header(self, scopes: tuple[str, ...]) -> str | None:
        """Value of `Authorization` for a request with these scopes, None as long as nobody asked for it."""
        challenge, who = self._challenge, self._who(scopes)
        if challenge is None:
            return None
        if challenge.scheme == "basic":
            return basic(who.user, who.password) if who else None
        with self._lock:
            own = self._locks.setdefault(scopes, threading.Lock())
        with own:
            held, end = self._held.get(scopes, ("", 0.0))
            if self._http.clock.now() >= end:
                held, end = self._buy(challenge, scopes)
                self._held[scopes] = held, end
        return f"Bearer {held}"

    def challenged(self, headers: Mapping[str, str], scopes: tuple[str, ...], refused: str | None) -> None:
        """Learn from a 401.

        Arguments:
            headers: of the answer.
            refused: the `Authorization` that was refused, None if there was none.

        Raises:
            AccessDenied: there is no way to satisfy it.
        """
        known = {each.scheme: each for each in parse_challenges(headers.get("www-authenticate", ""))}
        challenge = known.get("bearer") or known.get("basic")
        if challenge is None:
            raise self._denied("it refuses access and names no way to authenticate that we know")
        if challenge.scheme == "basic" and (refused or not self._who(scopes)):
            raise self._denied(
                "it refuses these credentials" if refused else "it wants a user and a password"
            )
        self._challenge = challenge
        if refused == f"Bearer {self._held.get(scopes, ('', 0.0))[0]}":
            self._held.pop(scopes, None)

    def _buy(self, challenge: Challenge, scopes: tuple[str, ...]) -> tuple[str, float]:
        realm = challenge.parameters.get("realm", "")
        if not realm.startswith("https://" if self._secure else ("https://", "http://")):
            raise self._denied(f"it sends us to '{realm}' for a token, which is no safe place to ask")
        now = self._http.clock.now()
        answer = self._ask(realm, challenge.parameters.get("service", ""), scopes)
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise OutsideError(f"expected a token from {realm}, found none in its answer")
        keep_secret(token)
        lifetime = answer.get("expires_in")
        return token, now + (lifetime if isinstance(lifetime, (int, float)) else _LIFETIME) - _MARGIN

    def _ask(self, realm: str, service: str, scopes: tuple[str, ...]) -> Mapping[str, Any]:
        """What a realm answers; an identity token is sent in a form, a password in a header."""
        who, what = self._who(scopes), "asking for a token"
        if who and who.identity_token:
            form = {
                "grant_type": "refresh_token",
                "client_id": "pipegraft",
                "service": service,
                "scope": " ".join(scopes),
                "refresh_token": who.identity_token,
            }
            answer = self._http.ask("POST", realm, what=what, largest=_LARGEST, data=form)
        else:
            headers = {"Authorization": basic(who.user, who.password)} if who else {}
            query = {"service": service, "scope": list(scopes)}
            answer = self._http.ask("GET", realm, what=what, largest=_LARGEST, params=query, headers=headers)
        found = answer.json()
        return found if isinstance(found, dict) else {}

    def _who(self, scopes: tuple[str, ...]) -> Credentials | None:
        """Who we are to the repository that the first scope is for."""
        return self._keyring.of(scopes[0].split(":")[1]) if scopes else self._keyring.general

    def _denied(self, why: str) -> AccessDenied:
        return AccessDenied(
            f"{self._http.name}: {why}",
            fix="log in with `docker login`, or set PIPEGRAFT_REGISTRY, PIPEGRAFT_REGISTRY_USER"
            " and PIPEGRAFT_REGISTRY_PASSWORD",
        )


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
                return self.http.read(answer, attempts)
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
        """Send a request once, but for challenges and redirects.

        Readers are led on to wherever blobs are stored, writers where uploads may go.

        Raises:
            Again: worth another attempt.
        """
        root, tokens = self._connected(attempts)
        challenges = moves = 0
        while True:
            sent = tokens.header(scopes) if same_origin(url, root) else None
            given = {**(headers or {}), **({"Authorization": sent} if sent else {})}
            with self.http.stream(attempts, method, url, elsewhere=True, headers=given, **request) as answer:
                own = same_origin(str(answer.url), root)
                if answer.status_code in _MOVED and method not in ("GET", "HEAD") and moves < _MOST_MOVES:
                    url, moves = self.safe_upload(url, answer.headers.get("location")), moves + 1
                elif answer.status_code == HTTPStatus.UNAUTHORIZED and own and challenges < _MOST_CHALLENGES:
                    tokens.challenged(answer.headers, scopes, sent)
                    challenges += 1
                else:
                    yield answer
                    return

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
