"""Parameters of a resource against what its type takes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator

from pipegraft.appspec.ports.resources import ResourceType
from pipegraft.core.errors import ConfigError, Place, Problem

__all__ = ["checked_params", "close_fix"]


def close_fix(word: str, known: Iterable[str]) -> str:
    """What to write instead of a word that is not known; empty if nothing is like it."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f"write '{found[0]}'" if found else ""


def checked_params(
    name: str, declared: Mapping[str, Any], kind: ResourceType, place: Callable[..., Place | None]
) -> dict[str, Any]:
    """Parameters checked against the type's schema, with its defaults.

    Arguments:
        name: of the resource, for messages.
        place: where a key of the resource stands.

    Raises:
        ConfigError: everything wrong with them.
    """
    unknown = [
        Problem(
            f"{kind.name} has no parameter '{key}'; it has: {', '.join(kind.params)}",
            place("params", key),
            close_fix(key, kind.params) or "remove it",
        )
        for key in declared
        if key not in kind.params
    ]
    missing = [
        Problem(f"'{name}' has no parameter '{key}', which {kind.name} requires", place())
        for key in kind.required
        if key not in declared
    ]
    wrong = [
        Problem(f"'resources.{name}.params.{key}': {message}", place("params", key))
        for key, value in declared.items()
        if key in kind.params
        for message in _schema_errors(value, kind.params[key])
    ]
    if unknown or missing or wrong:
        raise ConfigError([*unknown, *missing, *wrong])
    defaults = {key: schema["default"] for key, schema in kind.params.items() if "default" in schema}
    return {key: {**defaults, **declared}[key] for key in kind.params if key in defaults or key in declared}


def _schema_errors(value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    for error in Draft202012Validator(dict(schema)).iter_errors(value):
        yield f"expected {_expectation(schema)}, found {error.instance!r}"


def _expectation(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    pattern = f" like {schema['pattern']}" if "pattern" in schema else ""
    return f"a {schema.get('type', 'value')}{pattern}"
