"""Where the token of the IaC repository may be sent."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from pipegraft.core.errors import UsageError

__all__ = ["HOST", "INSECURE", "TOKEN", "iac_token", "refuse_in_the_clear"]

TOKEN = "PIPEGRAFT_IAC_TOKEN"  # noqa: S105 - the name of a variable
HOST = "PIPEGRAFT_IAC_HOST"
INSECURE = "PIPEGRAFT_IAC_INSECURE"


def iac_token(url: str, environment: Mapping[str, str]) -> str:
    """The token for a URL, empty if there is none.

    Arguments:
        url: what the token would be sent to.
        environment: ``PIPEGRAFT_IAC_TOKEN``; ``PIPEGRAFT_IAC_HOST`` says which host it belongs to, with its
            port if the URL has one.

    Raises:
        UsageError: the token belongs to another host, or would travel in the clear.
    """
    token = environment.get(TOKEN, "")
    named = environment.get(HOST, "")
    host = urlsplit(url).netloc.rpartition("@")[2]
    if token and named and named.lower() != host.lower():
        raise UsageError(
            f"expected an IaC repository on {named}, which {TOKEN} belongs to, found one on {host}",
            fix=f"correct 'iac.repository' in delivery.yaml, or {HOST}",
        )
    if token:
        refuse_in_the_clear(url, environment)
    return token


def refuse_in_the_clear(url: str, environment: Mapping[str, str]) -> None:
    """Look that credentials travel encrypted, or on this machine alone.

    Arguments:
        url: what they would be sent to.
        environment: ``PIPEGRAFT_IAC_INSECURE`` set to ``true`` lets them pass.

    Raises:
        UsageError: everybody on the way could read them.
    """
    parts = urlsplit(url)
    if parts.scheme == "http" and not _is_here(parts.hostname or "") and environment.get(INSECURE) != "true":
        raise UsageError(
            f"expected https for credentials, found http://{parts.netloc.rpartition('@')[2]}: anybody on the "
            "way could read them",
            fix=f"use https, or set {INSECURE}=true where the network between is yours",
        )


def _is_here(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
