"""How requests from outside find a version: what an entrance of the app spec may ask of its router."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from pipegraft.appspec.model.traits import Seconds
from pipegraft.core.model import Model

__all__ = ["Affinity", "ChosenUsers"]

HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
"""A token of RFC 9110."""

HeaderValue = Annotated[str, Field(pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$")]

CookieName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]

CookieValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:~-]+$")]


class ChosenUsers(Model):
    """Requests that get the new version whatever the weight, even at 0; any one of these is enough."""

    headers: Mapping[HeaderName, HeaderValue | None] | None = None
    """Header → the value that chooses."""
    cookies: Mapping[CookieName, CookieValue | None] | None = None
    """Cookie → the value that chooses."""


class Affinity(Model):
    """Who got a version once stays with it while the weight stays: a cookie remembers."""

    cookie: CookieName = "pipegraft-version"
    """Name of the cookie."""
    lifetime: Seconds = Field(default=86400.0, gt=0)
    """How long it is kept."""
