"""ingress-nginx: an Ingress, and a second one with canary annotations while a gray release runs.

Source: kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations (canary, session
affinity, mirror).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipegraft.appspec.model.spec import Entrance
from pipegraft.appspec.ports.traffic import EntranceSplit, Refusal, chosen_headers

__all__ = ["IngressNginx"]

Manifest = dict[str, Any]

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
        cookies = _cookies(entrance)
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
        gray = _ingress(split, split.gray.service, split.gray.service, split.gray.port)
        gray["metadata"]["annotations"] = _canary_annotations(split.entrance, split.gray.weight)
        return [stable, gray]


def _cookies(entrance: Entrance) -> dict[str, str]:
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
    for name in _cookies(entrance):
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
