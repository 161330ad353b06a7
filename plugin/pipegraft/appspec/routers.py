"""What routers of clusters are told: the objects by which each splits the requests of an entrance.

- Gateway API v1: one HTTPRoute, split by the weights of its backends. Header matches by regular expression
  (for cookies) and filters of single backends (for affinity) are extended support: see the conformance report
  of the implementation. Mirroring a part needs Gateway API 1.3.
- Istio: one VirtualService over the Services of both versions. Each version has a Service of its own, so no
  subsets, and thus no DestinationRule, are needed.
  Source: istio.io/latest/docs/reference/config/networking/virtual-service.
- ingress-nginx: an Ingress, and a second one with canary annotations while a gray release runs. Source:
  kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations (canary, affinity, mirror).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from pipegraft.appspec.hooks import TrafficRouterPlugin
from pipegraft.appspec.model import Entrance
from pipegraft.appspec.traffic_ports import (
    ClusterRouter,
    EntranceSplit,
    Refusal,
    affinity_values,
    baseline_value,
    chosen_headers,
    cookie_pattern,
    gray_cookies,
    set_cookie,
)
from pipegraft.core.errors import UsageError
from pipegraft.core.plugins import hookimpl

__all__ = [
    "CLUSTER_ROUTERS",
    "DEFAULT_ROUTER",
    "GatewayApi",
    "IngressNginx",
    "Istio",
    "parent_reference",
    "pipegraft_traffic_routers",
]

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
        spec["rules"] = list(_gateway_rules(split))
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


def _gateway_rules(split: EntranceSplit) -> Iterator[Manifest]:
    gray, entrance = split.gray, split.entrance
    stable_backend: Manifest = {"name": split.service, "port": split.port}
    if gray is None:
        yield _gateway_rule(entrance, [{}], [{**stable_backend, "weight": 100}])
        return
    gray_backend: Manifest = {"name": gray.service, "port": gray.port}
    chosen = [_gateway_header(name, value) for name, value in chosen_headers(entrance)]
    chosen += [_gateway_cookie(name, value) for name, value in gray_cookies(split)]
    if chosen:
        yield _gateway_rule(entrance, chosen, [{**gray_backend, "weight": 100}])
    fresh = [{**stable_backend, "name": gray.baseline}] if gray.baseline else []
    stays, moves = affinity_values(gray)
    if entrance.affinity:
        for backend in fresh:
            cookie = _gateway_cookie(entrance.affinity.cookie, baseline_value(gray))
            yield _gateway_rule(entrance, [cookie], [{**backend, "weight": 100}], _gateway_mirror(split))
        known = [_gateway_cookie(entrance.affinity.cookie, stays)]
        yield _gateway_rule(entrance, known, [{**stable_backend, "weight": 100}], _gateway_mirror(split))
    backends = [
        {**stable_backend, "weight": gray.rest, **_gateway_remembered(entrance, stays)},
        {**gray_backend, "weight": gray.weight, **_gateway_remembered(entrance, moves)},
        *(
            {**backend, "weight": gray.weight, **_gateway_remembered(entrance, baseline_value(gray))}
            for backend in fresh
        ),
    ]
    yield _gateway_rule(entrance, [{}], backends, _gateway_mirror(split))


def _gateway_rule(
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


def _gateway_header(name: str, value: str) -> Manifest:
    return {"headers": [{"type": "Exact", "name": name, "value": value}]}


def _gateway_cookie(name: str, value: str) -> Manifest:
    pattern = cookie_pattern(name, value)
    return {"headers": [{"type": "RegularExpression", "name": "Cookie", "value": pattern}]}


def _gateway_remembered(entrance: Entrance, value: str) -> Manifest:
    """The filter of a backend that tells the client which version it got."""
    if not entrance.affinity:
        return {}
    added = [{"name": "Set-Cookie", "value": set_cookie(entrance, value)}]
    return {"filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": added}}]}


def _gateway_mirror(split: EntranceSplit) -> Iterator[Manifest]:
    share = split.entrance.mirror
    if share and split.gray:
        mirror: Manifest = {"backendRef": {"name": split.gray.service, "port": split.gray.port}}
        if share < 100:
            mirror["percent"] = share
        yield {"type": "RequestMirror", "requestMirror": mirror}


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
        spec["http"] = list(_istio_routes(split))
        metadata = {"name": split.service, "namespace": split.namespace}
        return [
            {
                "apiVersion": "networking.istio.io/v1",
                "kind": "VirtualService",
                "metadata": metadata,
                "spec": spec,
            }
        ]


def _istio_routes(split: EntranceSplit) -> Iterator[Manifest]:
    gray, entrance = split.gray, split.entrance
    stable_to = _destination(split.service, split.port)
    if gray is None:
        yield _istio_route(entrance, [{}], [stable_to])
        return
    gray_to = _destination(gray.service, gray.port)
    chosen = [{"headers": {name.lower(): {"exact": value}}} for name, value in chosen_headers(entrance)]
    chosen += [_istio_cookie(name, value) for name, value in gray_cookies(split)]
    if chosen:
        yield _istio_route(entrance, chosen, [gray_to])
    fresh = [_destination(gray.baseline, split.port)] if gray.baseline else []
    stays, moves = affinity_values(gray)
    if entrance.affinity:
        for destination in fresh:
            cookie = _istio_cookie(entrance.affinity.cookie, baseline_value(gray))
            yield _istio_route(entrance, [cookie], [destination], _istio_mirror(split))
        yield _istio_route(
            entrance, [_istio_cookie(entrance.affinity.cookie, stays)], [stable_to], _istio_mirror(split)
        )
    destinations = [
        {**stable_to, "weight": gray.rest, **_istio_remembered(entrance, stays)},
        {**gray_to, "weight": gray.weight, **_istio_remembered(entrance, moves)},
        *(
            {**destination, "weight": gray.weight, **_istio_remembered(entrance, baseline_value(gray))}
            for destination in fresh
        ),
    ]
    yield _istio_route(entrance, [{}], destinations, _istio_mirror(split))


def _istio_route(
    entrance: Entrance, matches: list[Manifest], destinations: list[Manifest], more: Manifest | None = None
) -> Manifest:
    path = {"uri": {"prefix": entrance.path}} if entrance.path else {}
    matching = [found for match in matches if (found := {**path, **match})]
    return {**({"match": matching} if matching else {}), "route": destinations, **(more or {})}


def _destination(service: str, port: int) -> Manifest:
    return {"destination": {"host": service, "port": {"number": port}}}


def _istio_cookie(name: str, value: str) -> Manifest:
    return {"headers": {"cookie": {"regex": cookie_pattern(name, value)}}}


def _istio_remembered(entrance: Entrance, value: str) -> Manifest:
    if not entrance.affinity:
        return {}
    return {"headers": {"response": {"add": {"Set-Cookie": set_cookie(entrance, value)}}}}


def _istio_mirror(split: EntranceSplit) -> Manifest:
    if not (split.entrance.mirror and split.gray):
        return {}
    destination = _destination(split.gray.service, split.gray.port)
    return {"mirrors": [{**destination, "percentage": {"value": split.entrance.mirror}}]}


_PREFIX = "nginx.ingress.kubernetes.io/"
_ALWAYS = "always"
"""The only value of a cookie that chooses the canary."""


class IngressNginx:
    """The ingress-nginx controller of the cluster."""

    def refusals(self, entrance: Entrance) -> Iterable[Refusal]:
        """What it cannot do of what is asked."""
        if entrance.gateway:
            yield Refusal("gateway", "ingress-nginx knows no Gateway", "name its class with 'ingress-class'")
        if len(list(chosen_headers(entrance))) > 1:
            yield Refusal("gray-for", "ingress-nginx chooses by one header only", "leave one of them")
        cookies = _nginx_cookies(entrance)
        if len(cookies) > 1:
            yield Refusal("gray-for", "ingress-nginx chooses by one cookie only", "leave one of them")
        if any(value != _ALWAYS for value in cookies.values()):
            yield Refusal(
                "gray-for", f"ingress-nginx chooses by a cookie of the value '{_ALWAYS}' only", "write that"
            )
        if entrance.mirror and entrance.mirror < 100:
            yield Refusal("mirror", "ingress-nginx mirrors all requests or none", "write 100, or remove it")

    def render(self, split: EntranceSplit) -> list[Manifest]:
        """One Ingress, two while a gray release runs."""
        stable = _ingress(split, split.service, split.service, split.port)
        annotations = _stable_annotations(split)
        if annotations:
            stable["metadata"]["annotations"] = annotations
        if split.gray is None:
            return [stable]
        if split.gray.baseline:
            raise UsageError(
                f"the entrance of '{split.service}': ingress-nginx splits requests between two versions, "
                "not three",
                fix="remove 'baseline' from 'gray', or use gateway-api or istio",
            )
        gray = _ingress(split, split.gray.service, split.gray.service, split.gray.port)
        gray["metadata"]["annotations"] = _canary_annotations(split.entrance, split.gray.weight)
        return [stable, gray]


def _nginx_cookies(entrance: Entrance) -> dict[str, str]:
    declared = (entrance.gray_for and entrance.gray_for.cookies) or {}
    return {name: value for name, value in declared.items() if value is not None}


def _stable_annotations(split: EntranceSplit) -> dict[str, str]:
    found: dict[str, str] = {}
    affinity, gray = split.entrance.affinity, split.gray
    if affinity:
        lifetime = str(int(affinity.lifetime))
        found |= {
            "affinity": "cookie",
            "affinity-canary-behavior": "sticky",
            "session-cookie-name": affinity.cookie,
            "session-cookie-path": "/",
            "session-cookie-max-age": lifetime,
        }
    if split.entrance.mirror and gray:
        host = f"{gray.service}.{split.namespace}.svc"
        found["mirror-target"] = f"http://{host}:{gray.port}$request_uri"
    return {f"{_PREFIX}{key}": value for key, value in found.items()}


def _canary_annotations(entrance: Entrance, weight: int) -> dict[str, str]:
    found = {"canary": "true", "canary-weight": str(weight)}
    for name, value in chosen_headers(entrance):
        found |= {"canary-by-header": name, "canary-by-header-value": value}
    for name in _nginx_cookies(entrance):
        found["canary-by-cookie"] = name
    return {f"{_PREFIX}{key}": value for key, value in found.items()}


def _ingress(split: EntranceSplit, name: str, service: str, port: int) -> Manifest:
    entrance = split.entrance
    backend = {"service": {"name": service, "port": {"number": port}}}
    paths = [{"path": entrance.path or "/", "pathType": "Prefix", "backend": backend}]
    rules: list[Manifest] = [{"host": host, "http": {"paths": paths}} for host in entrance.hosts or ()]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": split.namespace},
        "spec": {
            "ingressClassName": entrance.ingress_class or "nginx",
            "rules": rules or [{"http": {"paths": paths}}],
        },
    }


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
        yield TrafficRouterPlugin(name, _SUMMARIES[name], cluster=router, baseline=name != "ingress-nginx")
