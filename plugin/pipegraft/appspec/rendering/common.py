"""What every target shares: annotations, variables, probes and ports, and which requests reach a pod.

How requests are split is told to whatever router the entrance names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from pipegraft.appspec.model import Entrance, EnvValue, Reference
from pipegraft.appspec.pods import BASELINE_SUFFIX, GRAY_SUFFIX, Member, Pod
from pipegraft.appspec.routers import CLUSTER_ROUTERS, DEFAULT_ROUTER, GatewayApi
from pipegraft.appspec.spec import Resolved
from pipegraft.appspec.traffic_ports import ClusterRouter, EntranceSplit, GrayShare
from pipegraft.appspec.traits import Probe
from pipegraft.core.errors import UsageError
from pipegraft.core.release import ReleaseMark

__all__ = [
    "ANNOTATION",
    "Manifest",
    "annotations_of",
    "declared",
    "digest_of",
    "env_of",
    "gray_gets_more",
    "http_route_of",
    "is_routed",
    "labels_of",
    "other_routers",
    "ports_of",
    "probes_of",
    "routes_of",
    "versions",
    "whole_seconds",
]

ANNOTATION = "pipegraft.dev/"
"""Prefix of our annotations."""

Manifest = dict[str, Any]


def versions(resolved: Resolved, pod: Pod) -> Iterator[tuple[str, Pod]]:
    """The workloads a pod becomes, by name: the stable one, and the new version while a gray release runs.

    With a baseline as many fresh pods of the stable version as the new one has stand beside them. A job has
    one version: the new one takes its place when it is promoted, lest the work is done twice.
    """
    yield pod.name, pod
    if resolved.gray and pod.name in resolved.gray.pods and pod.main.spec.job is None:
        new = resolved.gray.pods[pod.name]
        yield pod.name + GRAY_SUFFIX, new
        if resolved.gray.baseline:
            many = {key: getattr(new.main.spec, key) for key in ("replicas", "autoscaling")}
            main = replace(pod.main, spec=pod.main.spec.model_copy(update=many))
            yield pod.name + BASELINE_SUFFIX, replace(pod, main=main)


def labels_of(resolved: Resolved) -> Manifest:
    """Labels of everything that is rendered."""
    return {"app.kubernetes.io/part-of": resolved.app, "app.kubernetes.io/managed-by": "pipegraft"}


def digest_of(rendered: Any) -> str:
    """Names what is rendered, where no revision does."""
    canonical = json.dumps(rendered, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:40]


def annotations_of(resolved: Resolved) -> dict[str, str]:
    """Environment, release and gray release."""
    found = {f"{ANNOTATION}environment": resolved.environment}
    found |= _release("", resolved.release)
    if resolved.gray:
        found |= _release("gray-", resolved.gray.release)
        found |= {
            f"{ANNOTATION}gray-weight": str(resolved.gray.weight),
            f"{ANNOTATION}gray-phase": resolved.gray.phase,
        }
        waiting = [
            f"{member.name}={member.spec.image}"
            for pod in resolved.gray.pods.values()
            if pod.main.spec.job
            for member in pod.members
        ]
        if waiting:
            found[f"{ANNOTATION}gray-waiting"] = " ".join(waiting)
    return found


def _release(prefix: str, release: ReleaseMark | None) -> dict[str, str]:
    if release is None:
        return {}
    return {
        f"{ANNOTATION}{prefix}release": str(release.number),
        f"{ANNOTATION}{prefix}source-commit": release.source,
    }


def declared(values: Mapping[str, Any]) -> Manifest:
    """Without what nobody declared."""
    return {key: value for key, value in values.items() if value not in (None, [], {})}


def env_of(member: Member, pod: Pod) -> list[Manifest]:
    """What a container is told: about the pod it is in, then what is declared for it."""
    variables = {**pod.variables(), **(member.spec.env or {})}
    return [_variable(name, value) for name, value in variables.items()]


def _variable(name: str, value: EnvValue) -> Manifest:
    if not isinstance(value, Reference):
        return {"name": name, "value": value}
    if value.secret is not None:
        return {"name": name, "valueFrom": {"secretKeyRef": {"name": value.secret, "key": value.key}}}
    return {"name": name, "valueFrom": {"configMapKeyRef": {"name": value.config, "key": value.key}}}


def ports_of(pod: Pod) -> list[Manifest]:
    """The main container's ports, and the one that requests enter by: the Service exposes that one alone.

    Returns:
        Each with its `port` of the Service, and its `containerPort` where that is another number.
    """
    entrance = pod.entrance[1] if pod.entrance else None
    ports = [
        {
            "port": pod.main.service_port(name),
            **({"containerPort": number} if number != pod.main.service_port(name) else {}),
            "name": name,
            "expose": entrance in (None, number),
        }
        for name, number in pod.main.ports.items()
    ]
    if entrance is not None and entrance not in pod.main.ports.values():
        ports.append({"port": entrance, "name": "entrance", "expose": True})
    return ports


def probes_of(member: Member) -> Manifest:
    """Startup, readiness and liveness probe of a container."""
    spec = member.spec
    readiness = spec.readiness or (Probe() if member.ports else None)
    found = {"startupProbe": spec.startup, "readinessProbe": readiness, "livenessProbe": spec.liveness}
    return {key: _probe(member, probe) for key, probe in found.items() if probe}


def _probe(member: Member, probe: Probe) -> Manifest:
    port = member.port(probe.port)
    return declared(
        {
            "httpGet": {"path": probe.path, "port": port} if probe.path else None,
            "grpc": None
            if probe.grpc is None
            else {"port": port, **declared({"service": probe.grpc or None})},
            "exec": None if probe.exec is None else {"command": list(probe.exec)},
            "tcpSocket": {"port": port} if probe.asks_by_connecting else None,
            "initialDelaySeconds": whole_seconds(probe.initial_delay),
            "periodSeconds": whole_seconds(probe.period),
            "timeoutSeconds": whole_seconds(probe.timeout),
            "failureThreshold": probe.failures,
        }
    )


def whole_seconds(duration: float | None) -> int | None:
    """A declared time as Kubernetes takes it."""
    return None if duration is None else int(duration)


_EMBEDDED: Final = "embedded"


def is_routed(resolved: Resolved, pod: Pod) -> bool:
    """Whether requests to the pod are split or come from outside."""
    split = resolved.gray is not None and pod.name in resolved.gray.pods and bool(ports_of(pod))
    return pod.main.spec.entrance is not None or split


def routes_of(
    resolved: Resolved, pod: Pod, routers: Mapping[str, ClusterRouter] = CLUSTER_ROUTERS
) -> Iterator[Manifest]:
    """The objects of the router that a pod's entrance names.

    Arguments:
        routers: name → router, for those of plugins.

    Raises:
        UsageError: there is no such router, or it cannot do what is asked.
    """
    split = _split(resolved, pod)
    name = split.entrance.router or DEFAULT_ROUTER
    router = routers.get(name)
    if router is None:
        raise UsageError(
            f"the entrance of '{pod.name}' names the router '{name}', which works in no cluster; "
            f"there are: {', '.join(routers)}",
            fix="correct 'router' of the entrance, or install the plugin that brings it",
        )
    for refusal in router.refusals(split.entrance):
        raise UsageError(f"the entrance of '{pod.name}': {refusal.message}", fix=refusal.fix)
    for item in router.render(split):
        annotations = _listen(split.entrance) | item["metadata"].pop("annotations", {})
        if annotations:
            item["metadata"]["annotations"] = annotations
        yield item


def http_route_of(resolved: Resolved, pod: Pod) -> Manifest:
    """The pod's route in the words of the Gateway API, whatever router it names: for where none is."""
    route: Manifest = GatewayApi().render(_split(resolved, pod))[0]
    return route


def other_routers(resolved: Resolved, router: str) -> Iterator[tuple[str, str]]:
    """Components of a gray release that another router splits than the delivery says, with its name.

    Arguments:
        router: what `gray.router` of the delivery names. The embedded engine reads HTTPRoutes, too.
    """
    understood = {router, DEFAULT_ROUTER} if router == _EMBEDDED else {router}
    for entrance, name in _split_entrances(resolved):
        if (entrance.router or DEFAULT_ROUTER) not in understood:
            yield name, entrance.router or DEFAULT_ROUTER


def gray_gets_more(resolved: Resolved) -> bool:
    """Whether the new version is meant to get requests beside its weight."""
    return any(
        entrance.gray_for or entrance.affinity or entrance.mirror
        for entrance, _ in _split_entrances(resolved)
    )


def _split_entrances(resolved: Resolved) -> Iterator[tuple[Entrance, str]]:
    for pod in resolved.pods:
        if resolved.gray and pod.name in resolved.gray.pods and is_routed(resolved, pod):
            yield pod.main.spec.entrance or Entrance(), pod.name


def _listen(entrance: Entrance) -> dict[str, Any]:
    return {f"{ANNOTATION}listen": entrance.listen} if entrance.listen else {}


def _split(resolved: Resolved, pod: Pod) -> EntranceSplit:
    entrance = pod.main.spec.entrance or Entrance()
    gray = None
    if resolved.gray and pod.name in resolved.gray.pods:
        new = resolved.gray.pods[pod.name]
        weight, number = resolved.gray.weight, resolved.gray.release.number
        baseline = pod.name + BASELINE_SUFFIX if resolved.gray.baseline else None
        gray = GrayShare(pod.name + GRAY_SUFFIX, _service_port(new), weight, number, baseline)
    return EntranceSplit(pod.name, resolved.namespace, _service_port(pod), entrance, gray)


def _service_port(pod: Pod) -> int:
    """Number of the Service's port that requests enter by."""
    number = pod.entrance[1] if pod.entrance else next(iter(pod.main.ports.values()))
    return next(
        (pod.main.service_port(name) for name, one in pod.main.ports.items() if one == number), number
    )
