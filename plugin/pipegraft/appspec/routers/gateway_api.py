"""Gateway API v1: one HTTPRoute, split by the weights of its backends.

Header matches by regular expression (for cookies) and filters of single backends (for affinity) are extended
support: see the conformance report of the implementation. Mirroring a part needs Gateway API 1.3.
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

__all__ = ["GatewayApi", "parent_reference"]

Manifest = dict[str, Any]


class GatewayApi:
    """Whatever implements the Gateway API in the cluster."""

    def refusals(self, entrance: Entrance) -> Iterable[Refusal]:
        """What it cannot do of what is asked."""
        if entrance.ingress_class:
            yield Refusal(
                "ingress-class", "gateway-api knows no class of an Ingress", "name the Gateway with 'gateway'"
            )

    def render(self, split: EntranceSplit) -> list[Manifest]:
        """The HTTPRoute."""
        spec: Manifest = {"parentRefs": [parent_reference(split)]}
        if split.entrance.hosts:
            spec["hostnames"] = list(split.entrance.hosts)
        spec["rules"] = list(_rules(split))
        metadata = {"name": split.service, "namespace": split.namespace}
        return [
            {
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "HTTPRoute",
                "metadata": metadata,
                "spec": spec,
            }
        ]


def parent_reference(split: EntranceSplit) -> Manifest:
    """The Gateway, or the Service itself for a route of a mesh (GAMMA)."""
    gateway = split.entrance.gateway
    if gateway is None:
        return {"group": "", "kind": "Service", "name": split.service, "port": split.port}
    namespace, _, name = gateway.rpartition("/")
    return {"namespace": namespace, "name": name} if namespace else {"name": name}


def _rules(split: EntranceSplit) -> Iterator[Manifest]:
    gray, entrance = split.gray, split.entrance
    stable_backend: Manifest = {"name": split.service, "port": split.port}
    if gray is None:
        yield _rule(entrance, [{}], [{**stable_backend, "weight": 100}])
        return
    gray_backend: Manifest = {"name": gray.service, "port": gray.port}
    chosen = [_header(name, value) for name, value in chosen_headers(entrance)]
    chosen += [_cookie(name, value) for name, value in gray_cookies(split)]
    if chosen:
        yield _rule(entrance, chosen, [{**gray_backend, "weight": 100}])
    stays, moves = affinity_values(gray)
    if entrance.affinity:
        known = [_cookie(entrance.affinity.cookie, stays)]
        yield _rule(entrance, known, [{**stable_backend, "weight": 100}], _mirror(split))
    backends = [
        {**stable_backend, "weight": 100 - gray.weight, **_remembered(entrance, stays)},
        {**gray_backend, "weight": gray.weight, **_remembered(entrance, moves)},
    ]
    yield _rule(entrance, [{}], backends, _mirror(split))


def _rule(
    entrance: Entrance, matches: list[Manifest], backends: list[Manifest], filters: Iterable[Manifest] = ()
) -> Manifest:
    path = {"path": {"type": "PathPrefix", "value": entrance.path}} if entrance.path else {}
    rule: Manifest = {}
    matching = [found for match in matches if (found := {**path, **match})]
    if matching:
        rule["matches"] = matching
    asked = list(filters)
    if asked:
        rule["filters"] = asked
    rule["backendRefs"] = backends
    return rule


def _header(name: str, value: str) -> Manifest:
    return {"headers": [{"type": "Exact", "name": name, "value": value}]}


def _cookie(name: str, value: str) -> Manifest:
    pattern = cookie_pattern(name, value)
    return {"headers": [{"type": "RegularExpression", "name": "Cookie", "value": pattern}]}


def _remembered(entrance: Entrance, value: str) -> Manifest:
    """The filter of a backend that tells the client which version it got."""
    if not entrance.affinity:
        return {}
    added = [{"name": "Set-Cookie", "value": set_cookie(entrance, value)}]
    return {"filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": added}}]}


def _mirror(split: EntranceSplit) -> Iterator[Manifest]:
    share = split.entrance.mirror
    if share and split.gray:
        mirror: Manifest = {"backendRef": {"name": split.gray.service, "port": split.gray.port}}
        if share < 100:
            mirror["percent"] = share
        yield {"type": "RequestMirror", "requestMirror": mirror}
