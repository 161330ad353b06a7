"""Which resources there are: types, what they take and tell, and who provides them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipegraft.appspec.hooks import RESOURCE_PROVIDERS
from pipegraft.appspec.ports.resources import ResourceProvider, ResourceType
from pipegraft.core.errors import PluginError
from pipegraft.core.model import schema_of
from pipegraft.core.plugins import Plugins

__all__ = ["describe_types", "load_providers", "resource_types"]


def resource_types(plugins: Plugins) -> dict[str, tuple[ResourceType, tuple[ResourceProvider, ...]]]:
    """Every type with those who provide it.

    Raises:
        PluginError: two providers promise different things by one name.
    """
    found: dict[str, tuple[ResourceType, tuple[ResourceProvider, ...]]] = {}
    for provider in plugins.all(RESOURCE_PROVIDERS).values():
        for kind in provider.types:
            promised, others = found.get(kind.name, (kind, ()))
            if promised != kind:
                raise PluginError(
                    f"{others[0].name} and {provider.name} promise different things by '{kind.name}'",
                    fix="have one take the other's ResourceType, or call its own something else",
                )
            found[kind.name] = (promised, (*others, provider))
    return found


def load_providers(plugins: Plugins) -> Mapping[str, ResourceProvider]:
    """Every provider by name.

    Raises:
        PluginError: two promise different things by one name.
    """
    resource_types(plugins)
    return plugins.all(RESOURCE_PROVIDERS)


def describe_types(plugins: Plugins, names: Iterable[str] = ()) -> dict[str, Any]:
    """Types as plain JSON values, with the JSON Schemas of what they take and tell.

    Arguments:
        names: only these; all if empty.
    """
    types = resource_types(plugins)
    return {
        name: {
            "summary": kind.summary,
            "params": kind.params_schema(),
            "outputs": kind.outputs_schema(),
            "providers": {
                provider.name: {
                    "targets": sorted(provider.targets[name]),
                    "options": schema_of(provider.options),
                }
                for provider in providers
            },
        }
        for name, (kind, providers) in types.items()
        if not names or name in names
    }
