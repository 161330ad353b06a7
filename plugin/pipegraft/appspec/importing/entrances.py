"""What lets requests in: an HTTPRoute, or an Ingress of ingress-nginx, as the entrance of a component."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipegraft.appspec.importing.consumed_keys import Imported, Taking, found_values
from pipegraft.appspec.importing.objects import KubernetesObject, selected

__all__ = ["take_ingress", "take_route"]


def take_route(one: KubernetesObject, workloads: Mapping[str, KubernetesObject], into: Imported) -> None:
    """A route with one rule, one path and one backend is an entrance."""
    part = one.part
    rules, parents = part.peek("spec", "rules"), part.peek("spec", "parentRefs")
    if not (isinstance(rules, list) and len(rules) == 1 and isinstance(parents, list) and len(parents) == 1):
        return
    backend = ("spec", "rules", 0, "backendRefs")
    matches = part.keys("spec", "rules", 0, "matches")
    if (
        len(part.keys(*backend)) != 1
        or len(matches) > 1
        or one.name not in workloads
        or part.peek(*backend, 0, "name") != one.name
        or "entrance" in into.components[one.name]
    ):
        return
    match = ("spec", "rules", 0, "matches", 0, "path")
    if matches and part.peek(*match, "type") not in (None, "PathPrefix"):
        return
    number = part.peek(*backend, 0, "port")
    place = _listener(one.name, number, into.components)
    if place is None:
        return
    for key in ("name", "port", "weight"):
        part.take(*backend, 0, key)
    part.take(*match, "type")
    entrance = {
        **place,
        "hosts": part.take("spec", "hostnames"),
        "path": part.take(*match, "value") if matches else None,
        "listen": part.take("metadata", "annotations", "pipegraft.dev/listen"),
        "gateway": _gateway(part, one.name),
    }
    one.take_metadata(into)
    into.sources["components", one.name].append(part)
    into.components[one.name]["entrance"] = found_values(entrance)


def take_ingress(
    one: KubernetesObject,
    workloads: Mapping[str, KubernetesObject],
    services: Mapping[str, Mapping[str, Any]],
    into: Imported,
) -> None:
    """An Ingress of ingress-nginx whose rules differ in the host alone is an entrance."""
    part = one.part
    rules = part.keys("spec", "rules")
    paths = [part.peek("spec", "rules", at, "http", "paths") for at in rules]
    kind = part.peek("spec", "ingressClassName")
    if not rules or any(path != paths[0] or not _is_one(path) for path in paths) or "nginx" not in str(kind):
        return
    backend = Taking(paths[0][0], "").mapping("backend", "service")
    workload, number = _behind(backend, workloads, services)
    place = _listener(workload, number, into.components) if workload else None
    if place is None or "entrance" in into.components[str(workload)]:
        return
    hosts = []
    for at in rules:
        hosts.append(part.take("spec", "rules", at, "host"))
        path: tuple[str | int, ...] = ("spec", "rules", at, "http", "paths", 0)
        prefix = part.take(*path, "path")
        part.take_if((*path, "pathType"), "Prefix")
        part.take(*path, "backend")
    part.take("spec", "ingressClassName")
    one.take_metadata(into)
    into.sources["components", str(workload)].append(part)
    into.components[str(workload)]["entrance"] = found_values(
        {
            **place,
            "router": "ingress-nginx",
            "ingress-class": kind if kind != "nginx" else None,
            "hosts": None if None in hosts else hosts,
            "path": prefix if prefix != "/" else None,
        }
    )


def _is_one(paths: Any) -> bool:
    return isinstance(paths, list) and len(paths) == 1 and isinstance(paths[0], Mapping)


def _behind(
    backend: Mapping[Any, Any],
    workloads: Mapping[str, KubernetesObject],
    services: Mapping[str, Mapping[str, Any]],
) -> tuple[str | None, Any]:
    """Workload and number of its port that a Service sends requests to."""
    service = Taking(services.get(str(backend.get("name")), {}), "")
    workload = selected(service.mapping("selector"), workloads)
    asked = Taking(backend, "").mapping("port")
    for at in service.keys("ports"):
        port = service.mapping("ports", at)
        wanted = (asked.get("number") or port.get("port"), asked.get("name") or port.get("name"))
        if wanted == (port.get("port"), port.get("name")):
            return workload, port.get("targetPort", port.get("port"))
    return workload, None


def _gateway(part: Taking, workload: str) -> str | None:
    parent = ("spec", "parentRefs", 0)
    if part.peek(*parent, "kind") == "Service" and part.peek(*parent, "name") == workload:
        for key in ("group", "kind", "name", "port"):
            part.take(*parent, key)
        return None
    part.take_if((*parent, "kind"), "Gateway")
    part.take_if((*parent, "group"), "gateway.networking.k8s.io")
    namespace, name = part.take(*parent, "namespace"), part.take(*parent, "name")
    return f"{namespace}/{name}" if namespace else name


def _listener(
    workload: str, number: Any, components: Mapping[str, Mapping[str, Any]]
) -> dict[str, str] | None:
    """Which component of a pod and which of its ports a number is, as far as that is not obvious."""
    for name, one in components.items():
        if name != workload and one.get("host") != workload:
            continue
        ports = one.get("ports", {})
        for port, held in ports.items():
            if number in (held, port):
                via = {} if name == workload else {"via": name}
                return via if port == next(iter(ports)) else {**via, "port": port}
    return None
