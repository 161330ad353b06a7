"""What every declared value shares: frozen, unknown keys refused, kebab-case in files."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

__all__ = ["Declared", "DottedPath", "Duration", "Name", "RelativePath", "kebab"]


def kebab(name: str) -> str:
    """The key a user writes for the attribute `name`: ``on_inconclusive`` → ``on-inconclusive``."""
    return name.replace("_", "-")


class Declared(BaseModel):
    """Base of everything a user declares in a file."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=kebab,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


Name = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""An RFC 1123 label that starts with a letter: apps, components, environments, resources, stages."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def _seconds(value: object) -> object:
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(value))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise ValueError("expected a duration such as 30s, 5m or 1h30m")


Duration = Annotated[
    float,
    BeforeValidator(_seconds),
    PlainSerializer(lambda seconds: f"{seconds:g}s", return_type=str, when_used="json"),
    WithJsonSchema(
        {"type": ["string", "number"], "pattern": f"^{_DURATION.pattern}$", "examples": ["30s", "5m"]}
    ),
]
"""Seconds, written as ``30s``, ``5m``, ``1h30m`` or a bare number of seconds."""


def _inside(value: object) -> object:
    if isinstance(value, str) and (value.startswith("/") or ".." in value.split("/") or "\\" in value):
        raise ValueError("expected a relative path inside the repository, without '..'")
    return value


RelativePath = Annotated[str, BeforeValidator(_inside), StringConstraints(min_length=1)]
"""A POSIX path relative to the repository's root that cannot leave it."""

DottedPath = Annotated[str, StringConstraints(min_length=1)]
"""A place in a YAML file: dotted keys, ``[n]`` for items, ``["key.with.dots"]``."""
