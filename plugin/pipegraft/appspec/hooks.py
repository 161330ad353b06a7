"""The hooks that traffic routers and providers of resources come by, and which resources there are then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipegraft.appspec.resource_ports import ResourceProvider, ResourceType
from pipegraft.appspec.traffic_ports import ClusterRouter, TrafficRouter
from pipegraft.core.errors import PluginError
from pipegraft.core.model import schema_of
from pipegraft.core.plugins import Kind, Plugins, hookspec

__all__ = [
    "RESOURCE_PROVIDERS",
    "TRAFFIC_ROUTERS",
    "TrafficRouterPlugin",
    "describe_types",
    "load_providers",
    "resource_types",
]


# mypy: disable-error-code="empty-body"


@dataclass(frozen=True, slots=True)
class TrafficRouterPlugin:
    """What splits the requests between two versions.

    Arguments:
        name: ``embedded``, ``gateway-api``, …
        summary: one line: what does the splitting.
        connect: state folder → the router, for the embedded engine.
        cluster: for one that works in a cluster, by the objects that the engine applies.
        baseline: whether it splits between three: stable, gray and stable's fresh pods.
    """

    name: str
    summary: str
    connect: Callable[[Path], TrafficRouter] | None = None
    cluster: ClusterRouter | None = None
    baseline: bool = False


TRAFFIC_ROUTERS = Kind("pipegraft_traffic_routers", TrafficRouterPlugin, "traffic router")
RESOURCE_PROVIDERS = Kind("pipegraft_resource_providers", ResourceProvider, "resource provider")


@hookspec
def pipegraft_traffic_routers() -> Iterable[TrafficRouterPlugin]:
    """What can split requests between two versions. Called once, when ``delivery.yaml`` is read.

    Example::

        @hookimpl
        def pipegraft_traffic_routers():
            yield TrafficRouterPlugin(name="haproxy", summary="HAProxy on this machine.", connect=HaProxy)

    Returns:
        Routers, each with a name no other plugin uses.
    """


@hookspec
def pipegraft_resource_providers() -> Iterable[ResourceProvider]:
    """Who provides databases, caches, buckets. Called once, when an app spec is read.

    A type that other providers know must promise the same: use their `ResourceType`.

    Example::

        class Options(Model):
            region: str

        def provide(request, options):
            return Provision({"path": f"/mnt/{options.region}/{request.name}"})

        @hookimpl
        def pipegraft_resource_providers():
            yield ResourceProvider(
                name="mine",
                summary="Folders of our file server.",
                types=(SHARE,),
                targets={"share": frozenset({"oam", "kubernetes"})},
                options=Options,
                provide=provide,
            )

    Returns:
        Providers, each with a name no other plugin uses.
    """


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
