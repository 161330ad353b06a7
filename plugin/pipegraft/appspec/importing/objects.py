"""A Kubernetes object that is taken apart: its metadata, who means its pods, and what lets requests in.

An API server adds to an object: defaults, which it will add again, and what it alone writes. Source:
Kubernetes API reference v1.33, defaults of apps/v1, batch/v1 and core/v1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipegraft.appspec.importing.taking import Imported, Taking, dotted_route, found_values

__all__ = [
    "KubernetesObject",
    "is_ours",
    "selected",
    "take_defaults",
    "take_ingress",
    "take_ours",
    "take_route",
    "take_written",
]

_OURS = re.compile(r"(pipegraft\.dev/.*|app\.kubernetes\.io/(name|instance|part-of|managed-by))")
_DIGEST_OF_A_JOB = re.compile(r"-[0-9a-f]{10}$")


class KubernetesObject:
    """One object, and what its pods are labelled with.

    Arguments:
        file: where it is from.
        data: the object.
    """

    def __init__(self, file: str, data: Mapping[str, Any]) -> None:
        self.kind = str(data.get("kind") or "")
        name = Taking(data, file).peek("metadata", "name")
        self.name = name if isinstance(name, str) else ""
        self.component = _DIGEST_OF_A_JOB.sub("", self.name) if self.kind == "Job" else self.name
        named = f"{file}: {self.kind or 'object'} {self.name}"
        self.part = Taking(dict(data), named, secret=self.kind == "Secret")
        self.labels: Mapping[str, str] = {}
        self.selecting: Mapping[str, str] = {}

    def take_metadata(self, into: Imported) -> None:
        """What every object says, and we say again by ourselves."""
        for key in ("apiVersion", "kind"):
            self.part.take(key)
        self.part.take("metadata", "name")
        namespace = self.part.peek("metadata", "namespace")
        if into.namespace in (None, namespace) and namespace:
            into.namespace = self.part.take("metadata", "namespace")
        take_ours(self.part, "metadata")


def is_ours(key: Any) -> bool:
    """Whether a label or annotation is one that every render makes."""
    return _OURS.fullmatch(str(key)) is not None


def take_ours(part: Taking, *route: str, also: Mapping[str, Any] | None = None) -> None:
    """Labels and annotations that every render makes, and labels that only select."""
    for kind in ("labels", "annotations"):
        for key in part.mapping(*route, kind):
            if is_ours(key) or (kind == "labels" and key in (also or {})):
                part.take(*route, kind, key)


def selected(selector: Mapping[Any, Any], workloads: Mapping[str, KubernetesObject]) -> str | None:
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


_DEFAULTS: tuple[tuple[str, Any], ...] = (
    (r"spec\.revisionHistoryLimit", 10),
    (r"spec\.progressDeadlineSeconds", 600),
    (r"spec\.minReadySeconds", 0),
    (r"spec\.podManagementPolicy", "OrderedReady"),
    (r"spec\.updateStrategy\.rollingUpdate\.partition", 0),
    (r"spec\.persistentVolumeClaimRetentionPolicy\.when(Deleted|Scaled)", "Retain"),
    (r"spec\.(paused|suspend)", False),
    (r"spec\.successfulJobsHistoryLimit", 3),
    (r"spec\.failedJobsHistoryLimit", 1),
    (r"(.+\.)?spec\.(parallelism|completions)", 1),
    (r"(.+\.)?spec\.completionMode", "NonIndexed"),
    (r"(.+\.)?spec\.podReplacementPolicy", "TerminatingOrFailed"),
    (r".+\.spec\.dnsPolicy", "ClusterFirst"),
    (r".+\.spec\.schedulerName", "default-scheduler"),
    (r".+\.spec\.enableServiceLinks", True),
    (r".+\.spec\.(hostNetwork|hostPID|hostIPC|shareProcessNamespace)", False),
    (r".+\.terminationMessagePath", "/dev/termination-log"),
    (r".+\.terminationMessagePolicy", "File"),
    (r".+ontainers\[\d+\]\.(stdin|stdinOnce|tty)", False),
    (r".+Probe\.successThreshold", 1),
    (r".+\.securityContext\.privileged", False),
    (r".+\.(configMap|secret|projected)\.defaultMode", 420),
    (r".+\.persistentVolumeClaim\.readOnly", False),
    (r"(spec\.volumeClaimTemplates\[\d+\]\.)?spec\.volumeMode", "Filesystem"),
    (r"spec\.sessionAffinity", "None"),
    (r"spec\.internalTrafficPolicy", "Cluster"),
    (r"spec\.ipFamilyPolicy", "SingleStack"),
    (r"spec\.ipFamilies\[0\]", "IPv4"),
)
_WRITTEN = re.compile(
    r"(spec\.volumeClaimTemplates\[\d+\]\.)?status(\..+)?"
    r"|(spec\.(template|volumeClaimTemplates\[\d+\])\.)?metadata\.creationTimestamp"
    r"|metadata\.(uid|resourceVersion|generation|selfLink|managedFields)([.\[].*)?"
    r"|metadata\.annotations\.(deployment\.kubernetes\.io/revision"
    r"|kubectl\.kubernetes\.io/last-applied-configuration)"
    r"|spec\.(clusterIP|clusterIPs\[\d+\])"
)
_HEADLESS = "None"


def take_defaults(part: Taking) -> None:
    """Take what the server would say by itself, were it not there."""
    for route, value in list(part.routes()):
        if _is_default(route, value):
            part.take(*route)


def _is_default(route: tuple[str | int, ...], value: Any) -> bool:
    dotted = dotted_route(route)
    return any(
        type(value) is type(known) and value == known and re.fullmatch(pattern, dotted)
        for pattern, known in _DEFAULTS
    )


def take_written(part: Taking) -> list[str]:
    """Take what only a server writes; answers the keys of it."""
    found: dict[str, None] = {}
    for route, value in list(part.routes()):
        dotted = dotted_route(route)
        if _WRITTEN.fullmatch(dotted) and value != _HEADLESS:
            part.take(*route)
            found[".".join(map(str, route[:1] if route[0] == "status" else route[:2]))] = None
    return list(found)


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
    place = _listener(one.name, number, into.components, of_service=True)
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
    workload: str, number: Any, components: Mapping[str, Mapping[str, Any]], *, of_service: bool = False
) -> dict[str, str] | None:
    """Which component of a pod and which of its ports a number is, as far as that is not obvious.

    Arguments:
        of_service: whether it is the number that the Service has for the port.
    """
    for name, one in components.items():
        if name != workload and one.get("host") != workload:
            continue
        ports = one.get("ports", {})
        for port, held in ports.items():
            there = one.get("service-ports", {}).get(port, held) if of_service else held
            if number in (there, port):
                via = {} if name == workload else {"via": name}
                return via if port == next(iter(ports)) else {**via, "port": port}
    return None
