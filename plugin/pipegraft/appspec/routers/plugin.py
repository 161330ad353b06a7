"""The routers of clusters that ship with the package, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from pipegraft.appspec.hooks import TrafficRouterPlugin
from pipegraft.appspec.ports.traffic import ClusterRouter
from pipegraft.appspec.routers.gateway_api import GatewayApi
from pipegraft.appspec.routers.ingress_nginx import IngressNginx
from pipegraft.appspec.routers.istio import Istio
from pipegraft.core.plugins import hookimpl

__all__ = ["CLUSTER_ROUTERS", "DEFAULT_ROUTER", "pipegraft_traffic_routers"]

DEFAULT_ROUTER: Final = "gateway-api"
"""The router of an entrance that names none."""

CLUSTER_ROUTERS: Mapping[str, ClusterRouter] = MappingProxyType(
    {"gateway-api": GatewayApi(), "istio": Istio(), "ingress-nginx": IngressNginx()}
)

_SUMMARIES = {
    "gateway-api": "HTTPRoute weights, kept by whatever implements the Gateway API in the cluster.",
    "istio": "VirtualService weights, kept by Istio.",
    "ingress-nginx": "Canary annotations of a second Ingress, kept by ingress-nginx.",
}


@hookimpl
def pipegraft_traffic_routers() -> Iterable[TrafficRouterPlugin]:
    for name, router in CLUSTER_ROUTERS.items():
        yield TrafficRouterPlugin(name, _SUMMARIES[name], cluster=router)
