"""What applications write of resources: a type, its parameters, and placeholders of what it tells.

Whoever provides a type keeps the same promise.

In `env`, `command` and `args` of a component every output can stand, as ``${resources.NAME.OUTPUT}``. One
that is kept elsewhere becomes a reference; inside a longer text it becomes a variable of its own, which it
names as ``$(VARIABLE)``: Kubernetes puts the value in when the container starts (core/v1 Container, `env` and
`args`), and so do the other targets.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator

from pipegraft.appspec.model import AppComponent, EnvValue, Reference
from pipegraft.appspec.pod_checks import Report
from pipegraft.appspec.resource_ports import Output, ResourceType
from pipegraft.core.errors import ConfigError, Place, Problem
from pipegraft.core.model import Model, kebab

__all__ = [
    "BUCKET",
    "MYSQL",
    "POSTGRES",
    "REDIS",
    "SQLITE",
    "Outputs",
    "checked_params",
    "close_fix",
    "fill_component",
]

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


Outputs = Mapping[str, Mapping[str, str | Reference] | None]
"""Resource → output → its value; None for a resource that something is wrong with."""

_PLACEHOLDER = re.compile(r"\$(?P<escaped>\$)?\{resources?\b(?P<path>[^}]*)(?P<end>\}?)")
_PATH = re.compile(r"\.(?P<name>[^.]+)\.(?P<output>[^.]+)")
_ANYWHERE = ("env", "command", "args")
"""Where a value may be a reference."""


def fill_component(
    component: AppComponent, outputs: Outputs, route: tuple[str, ...], report: Report
) -> AppComponent:
    """A component with its placeholders filled in.

    Arguments:
        route: of the component, for messages.
        report: takes what is wrong: message, route, fix.
    """
    filling = _Filling(outputs, report)
    values = {
        name: filling.field(name, getattr(component, name), (*route, kebab(name)))
        for name in component.model_fields_set
    }
    if filling.variables:
        values["env"] = {**filling.variables, **(values.get("env") or {})}
    return type(component).model_construct(**values)


@dataclass(slots=True)
class _Filling:
    outputs: Outputs
    report: Report
    variables: dict[str, EnvValue] = field(default_factory=dict)
    """Added to the component, before its own: outputs that a longer text contains."""

    def field(self, name: str, value: Any, route: tuple[str, ...]) -> Any:
        return self._walk(value, route, anywhere=name in _ANYWHERE, variable=name == "env")

    def _walk(self, value: Any, route: tuple[str, ...], *, anywhere: bool, variable: bool = False) -> Any:
        def inside(part: Any, key: str) -> Any:
            return self._walk(part, (*route, key), anywhere=anywhere, variable=variable)

        if isinstance(value, str):
            return self._text(value, route, anywhere=anywhere, variable=variable)
        if isinstance(value, Mapping):
            return {key: inside(part, str(key)) for key, part in value.items()}
        if isinstance(value, tuple):
            return tuple(self._walk(part, route, anywhere=anywhere) for part in value)
        if isinstance(value, Model):
            filled = {name: inside(getattr(value, name), kebab(name)) for name in value.model_fields_set}
            return type(value).model_construct(**filled)
        return value

    def _text(
        self, text: str, route: tuple[str, ...], *, anywhere: bool, variable: bool
    ) -> str | Reference | None:
        parts: list[str] = []
        end = 0
        for found in _PLACEHOLDER.finditer(text):
            parts.append(text[end : found.start()])
            end = found.end()
            if found["escaped"]:
                parts.append(found[0][1:])
                continue
            value = self._value(found, route)
            if not isinstance(value, Reference):
                parts.append(value)
            elif not anywhere:
                self.report(
                    f"{found[0]} is kept in a secret and known only where the container runs",
                    route,
                    "use it in 'env', 'command' or 'args'",
                )
            elif variable and found[0] == text:
                return value
            else:
                parts.append(self._variable(found, value))
        return "".join((*parts, text[end:]))

    def _variable(self, found: re.Match[str], value: Reference) -> str:
        words = found["path"].strip(".").replace(".", "_").replace("-", "_").upper()
        name = f"PIPEGRAFT_RESOURCE_{words}"
        self.variables[name] = value
        return f"$({name})"

    def _value(self, found: re.Match[str], route: tuple[str, ...]) -> str | Reference:
        path = _PATH.fullmatch(found["path"])
        if path is None or not found["end"] or not found[0].startswith("${resources."):
            self.report(f"expected ${{resources.NAME.OUTPUT}}, found {found[0]}", route)
            return ""
        name, output = path["name"], path["output"]
        if name not in self.outputs:
            self.report(
                f"there is no resource '{name}'; there are: {', '.join(self.outputs) or 'none'}",
                route,
                close_fix(name, self.outputs) or "declare it below 'resources' in app.yaml",
            )
            return ""
        told = self.outputs[name]
        if told is not None and output not in told:
            self.report(
                f"resource '{name}' has no output '{output}'; it has: {', '.join(told)}",
                route,
                close_fix(output, told),
            )
            return ""
        return told[output] if told else ""
