"""What an application needs from elsewhere: databases, caches, buckets, and who provides them where.

The application declares `Resource`s in ``app.yaml``; an environment may set their class and parameters,
and lists by `ProviderChoice`s who provides them there. The model is Score's (score.dev/v1b1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from pipegraft.core.model import Model, Name

__all__ = ["DEFAULT_CLASS", "ProviderChoice", "Resource", "ResourceId", "ResourceOverlay"]

DEFAULT_CLASS = "default"
"""Class of a resource that names none."""

ResourceId = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]
"""Labels of letters, digits and ``-``, separated by dots."""


class ResourceOverlay(Model):
    """What differs for a resource in an environment."""

    class_: Name | None = Field(default=None, alias="class")
    """A kind of its type that the platform offers there: ``ha``, ``small``."""
    params: Mapping[str, Any] = {}
    """Parameters of its type; ``pipegraft resources`` lists them."""


class Resource(ResourceOverlay):
    """Something the application uses and does not run itself."""

    type: Name
    """What it is: ``postgres``, ``redis``, …; ``pipegraft resources`` lists them."""
    id: ResourceId | None = None
    """Resources of one type, class and id are one and the same; ``APP.NAME`` if absent."""


class ProviderChoice(Model):
    """Who provides resources in an environment. The first one that fits a resource provides it."""

    provider: Name
    """Name of the provider; ``pipegraft resources`` lists them."""
    type: Name | None = None
    """Only resources of this type; all types the provider knows if absent."""
    class_: Name | None = Field(default=None, alias="class")
    """Only resources of this class; all if absent."""
    id: ResourceId | None = None
    """Only the resource with this id; all if absent."""
    options: Mapping[str, Any] = {}
    """What this provider must be told; its own keys."""
