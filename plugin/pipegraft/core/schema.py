"""JSON Schema (2020-12) of declared classes, and the texts that describe their fields."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pipegraft.core.fields import Check, Converter, FieldInfo

if TYPE_CHECKING:
    from pipegraft.core.base import Declared

__all__ = ["descriptions", "schema_of"]

_TYPES: Mapping[Any, dict[str, Any]] = {
    Any: {},
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
}
_WORDS = {
    "pattern": "pattern",
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}
_LENGTHS = {"string": "Length", "array": "Items", "object": "Properties"}


def schema_of(model: type[Declared]) -> dict[str, Any]:
    """The schema of a class; those of the classes it uses are in ``$defs``."""
    definitions: dict[str, Any] = {}
    schema = _object(model, definitions)
    return {"$defs": definitions, **schema} if definitions else schema


def _object(model: type[Declared], definitions: dict[str, Any]) -> dict[str, Any]:
    texts = descriptions(model)
    properties = {}
    for name, info in model.model_fields.items():
        one = _schema(info.annotation, definitions)
        if not info.is_required():
            one["default"] = _data(info.default)
        if name in texts:
            one["description"] = texts[name]
        properties[info.key] = one
    required = [info.key for info in model.model_fields.values() if info.is_required()]
    return {
        "title": model.__name__,
        **({"description": inspect.cleandoc(model.__doc__)} if model.__doc__ else {}),
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": model.further_keys,
        **model.further_schema,
    }


def _data(default: Any) -> Any:
    if isinstance(default, tuple):
        return [_data(one) for one in default]
    return default.model_dump(exclude_defaults=True) if hasattr(default, "model_dump") else default


def _schema(annotation: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if annotation in _TYPES:
        return dict(_TYPES[annotation])
    if hasattr(annotation, "model_read"):
        name = annotation.__name__
        if name not in definitions:
            definitions[name] = {}  # what it uses may use it
            definitions[name] = _object(annotation, definitions)
        return {"$ref": f"#/$defs/{name}"}
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return functools.reduce(_marked, arguments[1:], _schema(arguments[0], definitions))
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": _flat([_schema(one, definitions) for one in arguments])}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    names = _schema(arguments[0], definitions)
    return {
        "type": "object",
        **({"propertyNames": names} if names != _TYPES[str] else {}),
        "additionalProperties": _schema(arguments[1], definitions),
    }


def _flat(schemas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Unions within a union are one with it."""
    return [part for one in schemas for part in (one["anyOf"] if list(one) == ["anyOf"] else [one])]


def _marked(schema: dict[str, Any], mark: Any) -> dict[str, Any]:
    if isinstance(mark, Converter) and mark.schema is not None:
        return dict(mark.schema)
    if isinstance(mark, Check):
        return {**schema, **mark.schema}
    if not isinstance(mark, FieldInfo) or not mark.bounds:
        return schema
    if "anyOf" in schema:  # null has no bounds
        return {
            "anyOf": [one if one == _TYPES[type(None)] else _marked(one, mark) for one in schema["anyOf"]]
        }
    for name, bound in mark.bounds.items():
        word = _WORDS.get(name) or name[:3] + _LENGTHS[schema["type"]]
        schema = {**schema, word: bound}
    return schema


def descriptions(model: type[Declared]) -> Mapping[str, str]:
    """Attribute → what describes it: its field's `description`, else the text below it in the source.

    The source is read only for those who ask: that takes longer than most commands.
    """
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if hasattr(base, "model_read"):
            found |= _texts_below(base)
    given = {name: info.description for name, info in model.model_fields.items() if info.description}
    return {name: text for name, text in {**found, **given}.items() if name in model.model_fields}


@functools.cache
def _texts_below(model: type) -> Mapping[str, str]:
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
