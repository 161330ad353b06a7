"""Istio: one VirtualService over the Services of both versions.

Each version has a Service of its own, so no subsets, and thus no DestinationRule, are needed.
Source: istio.io/latest/docs/reference/config/networking/virtual-service.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pipegraft.appspec.model.spec import Entrance
from pipegraft.appspec.ports.traffic import (
    EntranceSplit,
    Refusal,
    affinity_values,
    chosen_headers,
    cookie_pattern,
    gray_cookies,
    set_cookie,
)

__all__ = ["Istio"]

Manifest = dict[str, Any]


class Istio:
    """An Istio gateway, or the sidecars of the mesh."""

    def refusals(self, entrance: Entrance) -> Iterable[Refusal]:
        """What it cannot do of what is asked."""
        if entrance.ingress_class:
            yield Refusal(
                "ingress-class", "istio knows no class of an Ingress", "name the Gateway with 'gateway'"
            )
        if entrance.gateway and not entrance.hosts:
            yield Refusal(
                "gateway", "istio needs to know which hosts of the gateway are meant", "add 'hosts'"
            )

    def render(self, split: EntranceSplit) -> list[Manifest]:
        """The VirtualService."""
        entrance = split.entrance
        spec: Manifest = {"hosts": list(entrance.hosts or (split.service,))}
        if entrance.gateway:
            spec["gateways"] = [entrance.gateway]
        spec["http"] = list(_routes(split))
        metadata = {"name": split.service, "namespace": split.namespace}
        return [
            {
                "apiVersion": "networking.istio.io/v1",
                "kind": "VirtualService",
                "metadata": metadata,
                "spec": spec,
            }
        ]


def _routes(split: EntranceSplit) -> Iterator[Manifest]:
    gray, entrance = split.gray, split.entrance
    stable_to = _destination(split.service, split.port)
    if gray is None:
        yield _route(entrance, [{}], [stable_to])
        return
    gray_to = _destination(gray.service, gray.port)
    chosen = [{"headers": {name.lower(): {"exact": value}}} for name, value in chosen_headers(entrance)]
    chosen += [_cookie(name, value) for name, value in gray_cookies(split)]
    if chosen:
        yield _route(entrance, chosen, [gray_to])
    stays, moves = affinity_values(gray)
    if entrance.affinity:
        yield _route(entrance, [_cookie(entrance.affinity.cookie, stays)], [stable_to], _mirror(split))
    destinations = [
        {**stable_to, "weight": 100 - gray.weight, **_remembered(entrance, stays)},
        {**gray_to, "weight": gray.weight, **_remembered(entrance, moves)},
    ]
    yield _route(entrance, [{}], destinations, _mirror(split))


def _route(
    entrance: Entrance, matches: list[Manifest], destinations: list[Manifest], more: Manifest | None = None
) -> Manifest:
    path = {"uri": {"prefix": entrance.path}} if entrance.path else {}
    matching = [found for match in matches if (found := {**path, **match})]
    return {**({"match": matching} if matching else {}), "route": destinations, **(more or {})}


def _destination(service: str, port: int) -> Manifest:
    return {"destination": {"host": service, "port": {"number": port}}}


def _cookie(name: str, value: str) -> Manifest:
    return {"headers": {"cookie": {"regex": cookie_pattern(name, value)}}}


def _remembered(entrance: Entrance, value: str) -> Manifest:
    if not entrance.affinity:
        return {}
    return {"headers": {"response": {"add": {"Set-Cookie": set_cookie(entrance, value)}}}}


def _mirror(split: EntranceSplit) -> Manifest:
    if not (split.entrance.mirror and split.gray):
        return {}
    destination = _destination(split.gray.service, split.gray.port)
    return {"mirrors": [{**destination, "percentage": {"value": split.entrance.mirror}}]}
