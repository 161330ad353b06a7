"""What a registry answers when it wants to know who asks (RFC 9110, section 11; distribution token spec)."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Challenge", "parse_challenges", "pull_scope", "push_scope"]

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
