"""Which repository an engine follows."""

from __future__ import annotations

import re

__all__ = ["same_repository"]


def same_repository(one: str, other: str) -> bool:
    """Whether two URLs are of one repository, whatever the protocol: host and path tell."""
    return _address(one) == _address(other)


def _address(url: str) -> str:
    plain = re.sub(r"^[\w+.-]+://", "", url.strip().lower()).rpartition("@")[2]
    host, _, path = plain.replace(":", "/", 1).partition("/")
    return f"{host}/{re.sub('^[0-9]+/', '', path)}".rstrip("/").removesuffix(".git")
