"""The routers of clusters that ship with the package, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pipegraft.domain.rendering.routers.gateway_api import GatewayApi
from pipegraft.domain.rendering.routers.ingress_nginx import IngressNginx
from pipegraft.domain.rendering.routers.istio import Istio
from pipegraft.ports.traffic import ClusterRouter

__all__ = ["CLUSTER_ROUTERS", "DEFAULT_ROUTER"]

DEFAULT_ROUTER: Final = "gateway-api"
"""The router of an entrance that names none."""

CLUSTER_ROUTERS: Mapping[str, ClusterRouter] = MappingProxyType(
    {"gateway-api": GatewayApi(), "istio": Istio(), "ingress-nginx": IngressNginx()}
)
