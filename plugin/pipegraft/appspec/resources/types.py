"""The types that the providers of this package know, and parameters checked against a type.

Whoever provides a type keeps the same promise.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator

from pipegraft.appspec.ports.resources import Output, ResourceType
from pipegraft.core.errors import ConfigError, Place, Problem

__all__ = ["BUCKET", "MYSQL", "POSTGRES", "REDIS", "SQLITE", "checked_params", "close_fix"]

_HOST = Output("Name or address of the machine it listens on.")
_PORT = Output("Port it listens on.", type="integer")
_PASSWORD = Output("Password of the user.", secret=True)
_QUANTITY = r"^\d+([KMGT]i)?$"
_VERSION: Mapping[str, Any] = {
    "type": "string",
    "description": "Version, at least its major number; the provider's choice if absent.",
    "pattern": r"^\d+(\.\d+)*$",
}


def _database(name: str, product: str) -> ResourceType:
    storage = {
        "type": "string",
        "description": "Size of its disk, as Kubernetes writes it.",
        "pattern": _QUANTITY,
        "default": "10Gi",
    }
    database = {
        "type": "string",
        "description": "Name of the database.",
        "pattern": "^[a-z][a-z0-9_]{0,62}$",
        "default": "app",
    }
    return ResourceType(
        name,
        f"A database of a {product} server.",
        {"version": _VERSION, "storage": storage, "database": database},
        {
            "host": _HOST,
            "port": _PORT,
            "database": Output("Name of the database."),
            "username": Output("User who owns it."),
            "password": _PASSWORD,
        },
    )


POSTGRES = _database("postgres", "PostgreSQL")
MYSQL = _database("mysql", "MySQL")
REDIS = ResourceType(
    "redis",
    "A Redis server, or one that speaks its protocol.",
    {
        "version": _VERSION,
        "memory": {
            "type": "string",
            "description": "What it may keep in memory, as Kubernetes writes it.",
            "pattern": _QUANTITY,
            "default": "64Mi",
        },
        "persistent": {
            "type": "boolean",
            "description": "Whether what it holds survives a restart.",
            "default": False,
        },
    },
    {"host": _HOST, "port": _PORT, "password": _PASSWORD},
)
BUCKET = ResourceType(
    "bucket",
    "A bucket for objects, by the S3 protocol.",
    {"name": {"type": "string", "description": "Name of the bucket.", "default": "app"}},
    {
        "endpoint": Output("URL of the server."),
        "region": Output("Its region."),
        "bucket": Output("Name of the bucket."),
        "access-key": Output("Whose keys: the public part.", secret=True),
        "secret-key": Output("Whose keys: the secret part.", secret=True),
    },
)
SQLITE = ResourceType(
    "sqlite",
    "An SQLite database: a file of the machine, for one machine.",
    {
        "journal": {
            "enum": ["wal", "delete"],
            "description": "Its journal mode; `wal` lets one write while others read.",
            "default": "wal",
        }
    },
    {"path": Output("Where the file is.")},
)


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
