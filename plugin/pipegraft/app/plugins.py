"""The rooms' hooks, the plugins that are installed, and the JSON Schema of what users write with them.

What ships is in the package's own entry points.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, distribution, entry_points
from typing import Any, Literal

import pipegraft.appspec.hooks
import pipegraft.ci.hooks
import pipegraft.core.hooks
import pipegraft.gate.hooks
import pipegraft.gray.hooks
import pipegraft.images.hooks
import pipegraft.maturity.hooks
from pipegraft.appspec.hooks import RESOURCE_PROVIDERS, resource_types
from pipegraft.appspec.model import App, AppEnvironment
from pipegraft.core.delivery import Delivery
from pipegraft.core.model import Model, schema_of
from pipegraft.core.plugins import PROJECT, LoadedPlugin, Plugins
from pipegraft.gate.hooks import GITOPS_ENGINES
from pipegraft.gray.hooks import METRIC_SOURCES

__all__ = ["HOOKS", "delivery_schema", "installed_plugins", "list_plugins", "shipped_plugins", "spec_schema"]

HOOKS = (
    pipegraft.core.hooks,
    pipegraft.ci.hooks,
    pipegraft.images.hooks,
    pipegraft.gate.hooks,
    pipegraft.gray.hooks,
    pipegraft.appspec.hooks,
    pipegraft.maturity.hooks,
)
"""The modules that specify hooks, one for each room that has any."""


def installed_plugins() -> Plugins:
    """Everything that ships with the package and everything installed beside it."""
    found = entry_points()
    return Plugins(HOOKS, [entry for group in sorted(found.groups) for entry in found.select(group=group)])


def shipped_plugins(*more: EntryPoint) -> Plugins:
    """What ships with the package alone, and those given."""
    return Plugins(HOOKS, [*distribution(PROJECT).entry_points, *more])


def list_plugins(plugins: Plugins) -> tuple[LoadedPlugin, ...]:
    """Every plugin with everything it provides, those that ship with the package first.

    Raises:
        PluginError: two plugins provide the same name.
    """
    for kind in plugins.kinds.values():
        plugins.all(kind)
    return tuple(sorted(plugins.loaded.values(), key=lambda one: not one.ships))


def delivery_schema(plugins: Plugins) -> dict[str, Any]:
    """JSON Schema (2020-12) of ``delivery.yaml``, the keys of the installed plugins included."""
    schema = schema_of(Delivery)
    definitions = schema["$defs"]
    engines = {plugin.name: plugin.options for plugin in plugins.all(GITOPS_ENGINES).values()}
    sources = {plugin.name: plugin.options for plugin in plugins.all(METRIC_SOURCES).values()}
    _add_options(definitions, "Gate", "engine", engines)
    _add_options(definitions, "Metric", "source", sources)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:pipegraft:delivery",
        **schema,
        "title": "delivery.yaml",
    }


def spec_schema(of: Literal["app", "environment"], plugins: Plugins) -> dict[str, Any]:
    """JSON Schema (2020-12) of ``app.yaml`` or ``environments/NAME.yaml``, with the types of resources."""
    model: type[App | AppEnvironment] = App if of == "app" else AppEnvironment
    schema = schema_of(model)
    if of == "app":
        types = resource_types(plugins)
        params = {name: kind.params_schema() for name, (kind, _providers) in types.items()}
        _add_choice(schema["$defs"]["Resource"], "type", "params", params)
    else:
        options: dict[str, dict[str, Any]] = {}
        for name, provider in plugins.all(RESOURCE_PROVIDERS).items():
            options[name] = schema_of(provider.options)
            schema["$defs"] |= options[name].pop("$defs", {})
        _add_choice(schema["$defs"]["ProviderChoice"], "provider", "options", options)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:pipegraft:{of}",
        **schema,
        "title": "app.yaml" if of == "app" else "environments/NAME.yaml",
    }


def _add_choice(shape: dict[str, Any], key: str, part: str, schemas: Mapping[str, Any]) -> None:
    """Let the value of `key` decide what the mapping `part` beside it may hold."""
    shape["properties"][key]["enum"] = list(schemas)
    shape["allOf"] = [
        {
            "if": {"properties": {key: {"const": name}}, "required": [key]},
            "then": {"properties": {part: one}, "required": [part] if one.get("required") else []},
        }
        for name, one in schemas.items()
    ]


def _add_options(
    definitions: dict[str, Any], owner: str, key: str, options: Mapping[str, type[Model]]
) -> None:
    """Let the value of `key` decide which further keys a mapping may have."""
    shape = definitions[owner]
    shape["properties"][key]["enum"] = list(options)
    shape["allOf"] = []
    for name, model in options.items():
        further = schema_of(model)
        definitions |= further.pop("$defs", {})
        shape["allOf"].append(
            {
                "if": {"properties": {key: {"const": name}}, "required": [key]},
                "then": {"properties": further["properties"], "required": further.get("required", [])},
            }
        )
    shape.pop("additionalProperties", None)
    shape["unevaluatedProperties"] = False
