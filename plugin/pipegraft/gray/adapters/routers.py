"""The traffic routers that ship with the package."""

from __future__ import annotations

from collections.abc import Iterable

from pipegraft.appspec.rendering.routers.registered import CLUSTER_ROUTERS
from pipegraft.core.hookspecs import hookimpl
from pipegraft.core.plugin_values import TrafficRouterPlugin
from pipegraft.engine.adapters.proxy.router import EmbeddedRouter

__all__ = ["pipegraft_traffic_routers"]

_SUMMARIES = {
    "gateway-api": "HTTPRoute weights, kept by whatever implements the Gateway API in the cluster.",
    "istio": "VirtualService weights, kept by Istio.",
    "ingress-nginx": "Canary annotations of a second Ingress, kept by ingress-nginx.",
}


@hookimpl
def pipegraft_traffic_routers() -> Iterable[TrafficRouterPlugin]:
    """The default first."""
    yield TrafficRouterPlugin("embedded", "The proxy of the embedded engine.", EmbeddedRouter)
    for name, router in CLUSTER_ROUTERS.items():
        yield TrafficRouterPlugin(name, _SUMMARIES[name], cluster=router)
