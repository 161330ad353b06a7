"""Authorization by scope: Basic, or Bearer tokens bought at the realm that a registry names.

Sources: RFC 9110, section 11; distribution's token specification.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipegraft.core.adapters.http import Http, basic
from pipegraft.core.errors import AccessDenied, OutsideError
from pipegraft.images.adapters.registry.credentials import Credentials, Keyring

__all__ = ["Challenge", "Tokens", "parse_challenges", "pull_scope", "push_scope"]

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
