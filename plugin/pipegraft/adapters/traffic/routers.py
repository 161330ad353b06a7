"""The traffic routers that ship with the package."""

from __future__ import annotations

from collections.abc import Iterable

from pipegraft.adapters.traffic.embedded_router import EmbeddedRouter
from pipegraft.hookspecs import hookimpl
from pipegraft.ports.plugins import TrafficRouterPlugin

__all__ = ["pipegraft_traffic_routers"]


@hookimpl
def pipegraft_traffic_routers() -> Iterable[TrafficRouterPlugin]:
    """The default first."""
    yield TrafficRouterPlugin("embedded", "The proxy of the embedded engine.", EmbeddedRouter)
    yield TrafficRouterPlugin(
        "gateway-api", "HTTPRoute weights, kept by whatever implements the Gateway API in the cluster."
    )
