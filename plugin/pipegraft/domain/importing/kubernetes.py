"""Plain Kubernetes objects as an app spec: what `render --target kubernetes` prints, and what teams write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pipegraft.domain.importing.pod import take_pod
from pipegraft.domain.importing.taking import Imported, Taking, found_values

__all__ = ["import_kubernetes"]

_OURS = re.compile(r"(pipegraft\.dev/.*|app\.kubernetes\.io/(name|instance|part-of|managed-by))")
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_ACCESS = {"ReadWriteOnce": "once", "ReadWriteMany": "many", "ReadOnlyMany": "read-many"}
_OVERLAP = {"Allow": "allow", "Forbid": "forbid", "Replace": "replace"}
_DIGEST_OF_A_JOB = re.compile(r"-[0-9a-f]{10}$")


def import_kubernetes(documents: Iterable[tuple[str, Any]], into: Imported) -> None:
    """Take objects apart.

    Arguments:
        documents: file and content.
        into: gets components and what is left.
    """
    documents = list(documents)
    for file, data in documents:
        if not isinstance(data, dict) or not data:
            into.left.append(f"{file}: expected a Kubernetes object, found {_kind(data)}")
    objects = [_Object(file, data) for file, data in documents if data and isinstance(data, dict)]
    claims = {one.name: one for one in objects if one.kind == "PersistentVolumeClaim"}
    workloads = {}
    for one in objects:
        if one.kind in ("Deployment", "CronJob", "Job") and _NAME.fullmatch(one.name):
            workloads[_take_workload(one, claims, into)] = one
    for one in objects:
        _take_beside(one, workloads, into)
    for one in objects:
        into.left += one.part.left()


def _kind(data: Any) -> str:
    """What a document is instead of an object; its text may be secret."""
    if isinstance(data, dict):
        return "an empty mapping"
    return "a list" if isinstance(data, list) else "nothing" if data is None else "a plain value"


class _Object:
    """One object, and what its pods are labelled with."""

    def __init__(self, file: str, data: Mapping[str, Any]) -> None:
        self.kind = str(data.get("kind") or "")
        name = Taking(data, file).peek("metadata", "name")
        self.name = name if isinstance(name, str) else ""
        named = f"{file}: {self.kind or 'object'} {self.name}"
        self.part = Taking(dict(data), named, secret=self.kind == "Secret")
        self.labels: Mapping[str, str] = {}

    def take_metadata(self, into: Imported) -> None:
        """What every object says, and we say again by ourselves."""
        for key in ("apiVersion", "kind"):
            self.part.take(key)
        self.part.take("metadata", "name")
        namespace = self.part.peek("metadata", "namespace")
        if into.namespace in (None, namespace) and namespace:
            into.namespace = self.part.take("metadata", "namespace")
        _take_ours(self.part, "metadata")


def _take_ours(part: Taking, *route: str, also: Mapping[str, Any] | None = None) -> None:
    """Labels and annotations that every render makes, and labels that only select."""
    for kind in ("labels", "annotations"):
        for key in part.mapping(*route, kind):
            if _OURS.fullmatch(str(key)) or (kind == "labels" and key in (also or {})):
                part.take(*route, kind, key)


def _take_workload(one: _Object, claims: Mapping[str, _Object], into: Imported) -> str:
    part = one.part
    spec: tuple[str, ...] = ("spec", "jobTemplate", "spec") if one.kind == "CronJob" else ("spec",)
    name = _DIGEST_OF_A_JOB.sub("", one.name) if one.kind == "Job" else one.name
    template = (*spec, "template")
    one.labels = part.mapping(*template, "metadata", "labels")
    selector = part.mapping("spec", "selector", "matchLabels")
    if selector:
        part.take("spec", "selector", "matchLabels")
    one.take_metadata(into)
    _take_ours(part, "metadata", also=selector)
    _take_ours(part, *template, "metadata", also=selector)
    pod, guests = take_pod(part, (*template, "spec"), name, selector or one.labels, into)
    annotations = {
        key: part.take(*template, "metadata", "annotations", key)
        for key in part.mapping(*template, "metadata", "annotations")
    }
    own = _deployment(part) if one.kind == "Deployment" else {"job": _job(one, spec)}
    into.components[name] = {"intimacy": "rpc", **own, **pod, **found_values({"annotations": annotations})}
    into.components |= guests
    for each in (name, *guests):
        into.sources["components", each] = [part]
    _take_claims(into.components, (name, *guests), name, claims, into)
    return name


def _deployment(part: Taking) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(part.peek("spec", "replicas"), int):
        found["replicas"] = part.take("spec", "replicas")
    kind = part.peek("spec", "strategy", "type")
    if kind == "Recreate":
        part.take("spec", "strategy", "type")
        found["update"] = {"strategy": "recreate"}
    elif kind in (None, "RollingUpdate"):
        part.take("spec", "strategy", "type")
        rolling = ("spec", "strategy", "rollingUpdate")
        update = {
            "strategy": "rolling" if kind else None,
            "surge": part.take(*rolling, "maxSurge"),
            "unavailable": part.take(*rolling, "maxUnavailable"),
        }
        if found_values(update):
            found["update"] = found_values(update)
    return found


def _job(one: _Object, spec: tuple[str, ...]) -> dict[str, Any]:
    part = one.part
    part.take_if((*spec, "template", "spec", "restartPolicy"), "Never")
    deadline = part.take(*spec, "activeDeadlineSeconds")
    found = {
        "schedule": part.take("spec", "schedule"),
        "time-zone": part.take("spec", "timeZone"),
        "retries": part.take(*spec, "backoffLimit"),
        "deadline": f"{deadline}s" if deadline else None,
    }
    if str(part.peek("spec", "concurrencyPolicy")) in _OVERLAP:
        found["overlap"] = _OVERLAP[part.take("spec", "concurrencyPolicy")]
    return found_values(found)


def _take_claims(
    components: Mapping[str, dict[str, Any]],
    members: Iterable[str],
    workload: str,
    claims: Mapping[str, _Object],
    into: Imported,
) -> None:
    """Claims that belong to the workload alone become persistent volumes of it."""
    for member in members:
        for name, volume in components[member].get("volumes", {}).items():
            claim = claims.get(str(volume.get("claim", "")))
            if claim is None or claim.name != f"{workload}-{name}":
                continue
            access = claim.part.peek("spec", "accessModes")
            size = claim.part.peek("spec", "resources", "requests", "storage")
            if not size or not isinstance(access, list) or len(access) != 1 or str(access[0]) not in _ACCESS:
                continue
            claim.take_metadata(into)
            for route in (("spec", "accessModes"), ("spec", "resources", "requests", "storage")):
                claim.part.take(*route)
            into.sources["components", member].append(claim.part)
            mode = _ACCESS[access[0]]
            storage_class = claim.part.take("spec", "storageClassName")
            del volume["claim"]
            volume["persistent"] = found_values(
                {"size": size, "class": storage_class, "access": None if mode == "once" else mode}
            )


def _take_beside(one: _Object, workloads: Mapping[str, _Object], into: Imported) -> None:
    match one.kind:
        case "Service":
            _take_service(one, workloads, into)
        case "HTTPRoute":
            _take_route(one, workloads, into)
        case "HorizontalPodAutoscaler":
            _take_autoscaler(one, workloads, into)
        case "PodDisruptionBudget":
            _take_budget(one, workloads, into)


def _selected(selector: Mapping[Any, Any], workloads: Mapping[str, _Object]) -> str | None:
    """The workload whose pods a selector means."""
    wanted = selector.items()
    if not wanted:
        return None
    return next(
        (
            name
            for name, one in workloads.items()
            if all(one.labels.get(key) == value for key, value in wanted)
        ),
        None,
    )


def _take_service(one: _Object, workloads: Mapping[str, _Object], into: Imported) -> None:
    """A Service of the workload's name and ports is what we make by ourselves; what differs is left."""
    part = one.part
    workload = _selected(part.mapping("spec", "selector"), workloads)
    if workload is None or workload != one.name:
        return
    part.take("spec", "selector")
    part.take_if(("spec", "type"), "ClusterIP")
    numbers = _numbers(workload, into.components)
    for at in part.keys("spec", "ports"):
        port = part.mapping("spec", "ports", at)
        number = numbers.get(str(port.get("targetPort", port.get("port"))))
        if number is None or number != port.get("port"):
            continue
        for key in ("port", "targetPort"):
            part.take("spec", "ports", at, key)
        part.take_if(("spec", "ports", at, "protocol"), "TCP")
        names = [name for name, held in into.components[workload].get("ports", {}).items() if held == number]
        part.take_if(("spec", "ports", at, "name"), *names, "entrance")
    one.take_metadata(into)
    _take_ours(part, "metadata", also=workloads[workload].labels)


def _numbers(workload: str, components: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Ports of a pod by number and by name."""
    found: dict[str, int] = {}
    for name, one in components.items():
        if name == workload or one.get("host") == workload:
            for port, number in one.get("ports", {}).items():
                found |= {port: number, str(number): number}
    return found


def _take_route(one: _Object, workloads: Mapping[str, _Object], into: Imported) -> None:
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
            if held == number:
                via = {} if name == workload else {"via": name}
                return via if port == next(iter(ports)) else {**via, "port": port}
    return None


def _take_autoscaler(one: _Object, workloads: Mapping[str, _Object], into: Imported) -> None:
    part = one.part
    name = str(part.peek("spec", "scaleTargetRef", "name"))
    if part.peek("spec", "scaleTargetRef", "kind") != "Deployment" or name not in workloads:
        return
    shares: dict[str, int] = {}
    for at in part.keys("spec", "metrics"):
        metric = ("spec", "metrics", at)
        resource = part.peek(*metric, "resource", "name")
        percent = part.peek(*metric, "resource", "target", "averageUtilization")
        if part.peek(*metric, "type") == "Resource" and resource in ("cpu", "memory") and percent:
            shares[resource] = percent
            part.take(*metric)
    scaling = {"min": part.take("spec", "minReplicas"), "max": part.take("spec", "maxReplicas"), **shares}
    part.take("spec", "scaleTargetRef")
    one.take_metadata(into)
    _take_ours(part, "metadata", also=workloads[name].labels)
    into.sources["components", name].append(part)
    component = into.components[name]
    component.pop("replicas", None)
    component["autoscaling"] = found_values(scaling)


def _take_budget(one: _Object, workloads: Mapping[str, _Object], into: Imported) -> None:
    part = one.part
    workload = _selected(part.mapping("spec", "selector", "matchLabels"), workloads)
    if workload is None:
        return
    part.take("spec", "selector", "matchLabels")
    bounds = {
        "min-available": part.take("spec", "minAvailable"),
        "max-unavailable": part.take("spec", "maxUnavailable"),
    }
    one.take_metadata(into)
    into.sources["components", workload].append(part)
    into.components[workload]["disruption"] = {
        key: value for key, value in bounds.items() if value is not None
    }
