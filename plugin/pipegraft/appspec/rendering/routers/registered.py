"""The routers of clusters that ship with the package, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pipegraft.appspec.ports.traffic import ClusterRouter
from pipegraft.appspec.rendering.routers.gateway_api import GatewayApi
from pipegraft.appspec.rendering.routers.ingress_nginx import IngressNginx
from pipegraft.appspec.rendering.routers.istio import Istio

__all__ = ["CLUSTER_ROUTERS", "DEFAULT_ROUTER"]

DEFAULT_ROUTER: Final = "gateway-api"
"""The router of an entrance that names none."""

CLUSTER_ROUTERS: Mapping[str, ClusterRouter] = MappingProxyType(
    {"gateway-api": GatewayApi(), "istio": Istio(), "ingress-nginx": IngressNginx()}
)
