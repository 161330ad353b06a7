"""What is installed: plugins and what they provide, and the JSON Schema of what users write."""

from __future__ import annotations

from typing import Any

from pipegraft.hookspecs import KINDS
from pipegraft.manager import LoadedPlugin, Plugins
from pipegraft.model.delivery import Delivery

__all__ = ["delivery_schema", "list_plugins"]


def list_plugins(plugins: Plugins) -> tuple[LoadedPlugin, ...]:
    """Every plugin with everything it provides.

    Raises:
        PluginError: two plugins provide the same name.
    """
    for kind in KINDS:
        plugins.all(kind)
    return tuple(plugins.loaded.values())


def delivery_schema() -> dict[str, Any]:
    """JSON Schema of ``delivery.yaml``, for editors."""
    schema = Delivery.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:pipegraft:delivery",
        **schema,
        "title": "delivery.yaml",
    }
