"""Authorization by scope: Basic, or Bearer tokens bought at the realm a registry names."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Mapping
from typing import Any

from pipegraft.core.clock import Clock
from pipegraft.core.errors import AccessDenied, OutsideError
from pipegraft.images.adapters.registry.credentials import Credentials
from pipegraft.images.challenge import Challenge, parse_challenges

__all__ = ["Tokens"]

_LIFETIME = 60.0
"""Seconds a token lives when the registry does not say (distribution token spec)."""
_MARGIN = 10.0
"""Seconds before its end at which a token is not used any more."""

Ask = Callable[[str, str, Mapping[str, str], Mapping[str, str | list[str]]], Mapping[str, Any]]
"""Method, URL, headers, parameters → the realm's JSON answer."""


class Tokens:
    """Remembers how a registry wants to be asked, and one token for each set of scopes.

    Arguments:
        name: of the registry, for messages.
        credentials: None to be anonymous.
        ask: asks a realm.
        secure: whether the registry is reached by HTTPS: then no realm is asked by plain HTTP.
    """

    def __init__(
        self, name: str, credentials: Credentials | None, ask: Ask, clock: Clock, *, secure: bool
    ) -> None:
        self._name = name
        self._credentials = credentials
        self._ask = ask
        self._clock = clock
        self._secure = secure
        self._challenge: Challenge | None = None
        self._held: dict[tuple[str, ...], tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._locks: dict[tuple[str, ...], threading.Lock] = {}

    def header(self, scopes: tuple[str, ...]) -> str | None:
        """Value of `Authorization` for a request with these scopes, None as long as nobody asked for it."""
        challenge = self._challenge
        if challenge is None:
            return None
        if challenge.scheme == "basic":
            return _basic(self._credentials) if self._credentials else None
        with self._lock:
            own = self._locks.setdefault(scopes, threading.Lock())
        with own:
            held, end = self._held.get(scopes, ("", 0.0))
            if self._clock.now() >= end:
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
        if challenge.scheme == "basic" and (refused or not self._credentials):
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
        service = challenge.parameters.get("service", "")
        who = self._credentials
        now = self._clock.now()
        if who and who.identity_token:
            form: dict[str, str | list[str]] = {
                "grant_type": "refresh_token",
                "client_id": "pipegraft",
                "service": service,
                "scope": " ".join(scopes),
                "refresh_token": who.identity_token,
            }
            answer = self._ask("POST", realm, {}, form)
        else:
            headers = {"authorization": _basic(who)} if who else {}
            answer = self._ask("GET", realm, headers, {"service": service, "scope": list(scopes)})
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise OutsideError(f"expected a token from {realm}, found none in its answer")
        lifetime = answer.get("expires_in")
        return token, now + (lifetime if isinstance(lifetime, (int, float)) else _LIFETIME) - _MARGIN

    def _denied(self, why: str) -> AccessDenied:
        return AccessDenied(
            f"registry {self._name}: {why}",
            fix="log in with `docker login`, or set PIPEGRAFT_REGISTRY, PIPEGRAFT_REGISTRY_USER"
            " and PIPEGRAFT_REGISTRY_PASSWORD",
        )


def _basic(credentials: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{credentials.user}:{credentials.password}".encode()).decode()
