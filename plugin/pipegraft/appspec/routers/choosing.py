"""Who gets which version before the weights are asked; what the routers share."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipegraft.appspec.model.spec import Entrance
from pipegraft.appspec.ports.traffic import EntranceSplit, GrayShare

__all__ = ["affinity_values", "chosen_headers", "cookie_pattern", "gray_cookies", "set_cookie"]


def chosen_headers(entrance: Entrance) -> Iterator[tuple[str, str]]:
    """Header fields and values that choose the new version."""
    if entrance.gray_for:
        for name, value in (entrance.gray_for.headers or {}).items():
            if value is not None:
                yield name, value


def gray_cookies(split: EntranceSplit) -> Iterator[tuple[str, str]]:
    """Cookies and values that lead to the new version: of chosen users, and of those who got it before."""
    entrance = split.entrance
    if entrance.gray_for:
        for name, value in (entrance.gray_for.cookies or {}).items():
            if value is not None:
                yield name, value
    if entrance.affinity and split.gray:
        yield entrance.affinity.cookie, affinity_values(split.gray)[1]


def affinity_values(gray: GrayShare) -> tuple[str, str]:
    """What the affinity cookie says of who got stable, and of who got gray.

    Who got stable is drawn anew once the weight rises; another release means nothing to either.
    """
    return f"{gray.release}-{gray.weight}", f"{gray.release}-gray"


def set_cookie(entrance: Entrance, value: str) -> str:
    """The header field that keeps a user with a version."""
    assert entrance.affinity is not None  # noqa: S101 - the caller asked for it
    lifetime = int(entrance.affinity.lifetime)
    return f"{entrance.affinity.cookie}={value}; Path=/; Max-Age={lifetime}; HttpOnly; SameSite=Lax"


def cookie_pattern(name: str, value: str) -> str:
    """A regular expression (RE2 and others) that the header field ``Cookie`` matches, whole or in part."""
    return rf"^(.*;\s*)?{re.escape(name)}={re.escape(value)}(\s*;.*)?$"
