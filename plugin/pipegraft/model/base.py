"""What every declared value shares: frozen, unknown keys refused, kebab-case in files."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import re
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

__all__ = [
    "Declared",
    "DottedPath",
    "Duration",
    "Name",
    "Part",
    "RelativePath",
    "descriptions",
    "kebab",
    "parse_duration",
]


def kebab(name: str) -> str:
    """The key a user writes for the attribute `name`: ``on_inconclusive`` → ``on-inconclusive``."""
    return name.replace("_", "-")


class Declared(BaseModel):
    """Base of everything a user declares in a file; the text below an attribute describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=kebab, populate_by_name=True)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in descriptions(cls).items():
            key = cls.model_fields[name].alias or name
            if key in properties:
                properties[key]["description"] = text
        return schema


class Part(Declared):
    """What is read as a part of something declared: its own validator is built only if it is used alone.

    Building it takes most of the time that such a class costs, and a command needs that of the whole. Not
    for what threads make: the first use builds it.
    """

    model_config = ConfigDict(defer_build=True)


@functools.cache
def descriptions(model: type[BaseModel]) -> Mapping[str, str]:
    """Attribute → what describes it: its field's `description`, else the text below it in the source.

    Pydantic can do this itself (`use_attribute_docstrings`), while it makes the class; reading every
    module's source then is most of the time that a command takes to start.
    """
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base.__module__.partition(".")[0] != "pydantic":
            found |= _texts_below(base)
    given = {name: info.description for name, info in model.model_fields.items() if info.description}
    return {name: text for name, text in {**found, **given}.items() if name in model.model_fields}


def _texts_below(model: type[BaseModel]) -> Mapping[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(model))
    except (OSError, TypeError):  # made at run time: there is no source
        return {}
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)  # noqa: S101 - what getsource answers for a class
    return {
        above.target.id: inspect.cleandoc(text)
        for above, below in itertools.pairwise(body.body)
        if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(text := below.value.value, str)
    }


Name = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""An RFC 1123 label that starts with a letter: apps, components, environments, resources, stages."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def parse_duration(text: str) -> float:
    """Seconds of ``30s``, ``5m`` or ``1h30m``.

    Raises:
        ValueError: it is no duration.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError(f"expected a duration such as 30s, 5m or 1h30m, found '{text}'")
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))


def _seconds(value: object) -> object:
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return parse_duration(value)
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
