"""The hooks that traffic routers and providers of resources come by."""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pipegraft.appspec.ports.resources import ResourceProvider
from pipegraft.appspec.ports.traffic import ClusterRouter, TrafficRouter
from pipegraft.core.plugins import Kind, hookspec

__all__ = ["RESOURCE_PROVIDERS", "TRAFFIC_ROUTERS", "TrafficRouterPlugin"]


@dataclass(frozen=True, slots=True)
class TrafficRouterPlugin:
    """What splits the requests between two versions.

    Arguments:
        name: ``embedded``, ``gateway-api``, …
        summary: one line: what does the splitting.
        connect: state folder → the router, for the embedded engine.
        cluster: for one that works in a cluster, by the objects that the engine applies.
    """

    name: str
    summary: str
    connect: Callable[[Path], TrafficRouter] | None = None
    cluster: ClusterRouter | None = None


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
