"""The app spec as a KubeVela Application (``core.oam.dev/v1beta1``).

One Application an environment, layers resolved before: ``override`` policies key traits by type and
match component names as patterns, so they lose and leak. Sources: the built-in definitions
``webservice``, ``k8s-objects``, ``scaler``, ``init-container``, ``sidecar`` and ``json-patch`` of
vela-core 1.10, and the Gateway API's HTTPRoute v1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipegraft.domain.appspec import GRAY_SUFFIX, Resolved
from pipegraft.domain.pods import Member, Pod
from pipegraft.model.appspec import Entrance, EnvValue, Probe, Reference, ReleaseMark

__all__ = ["ANNOTATION", "POD_SPEC", "PUBLISH_VERSION", "render_application"]

ANNOTATION = "pipegraft.dev/"
"""Prefix of our annotations."""

PUBLISH_VERSION = "app.oam.dev/publishVersion"
"""KubeVela reports it back as ``status.workflow.appRevision``, which ties a status to a revision."""

POD_SPEC = "/spec/template/spec/"
"""Where the pod's parts are, for JSON patches of the workload."""

Manifest = dict[str, Any]


def render_application(resolved: Resolved, revision: str | None = None) -> Manifest:
    """Render one environment.

    Arguments:
        revision: commit the spec was read at; a digest of what is rendered if None.

    Returns:
        The Application, keys in a fixed order.
    """
    components = [part for pod in resolved.pods for part in _workloads(resolved, pod)]
    components += [_route(resolved, pod) for pod in resolved.pods if _is_routed(resolved, pod)]
    application: Manifest = {
        "apiVersion": "core.oam.dev/v1beta1",
        "kind": "Application",
        "metadata": {
            "name": resolved.name,
            "namespace": resolved.namespace,
            "labels": {
                "app.kubernetes.io/part-of": resolved.app,
                "app.kubernetes.io/managed-by": "pipegraft",
            },
            "annotations": _annotations(resolved),
        },
        "spec": {"components": components},
    }
    version = revision or _digest(application)
    application["metadata"]["annotations"] = {
        PUBLISH_VERSION: version,
        **application["metadata"]["annotations"],
    }
    return application


def _digest(application: Manifest) -> str:
    canonical = json.dumps(application, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:40]


def _annotations(resolved: Resolved) -> dict[str, str]:
    found = {f"{ANNOTATION}environment": resolved.environment}
    found |= _release("", resolved.release)
    if resolved.gray:
        found |= _release("gray-", resolved.gray.release)
        found |= {
            f"{ANNOTATION}gray-weight": str(resolved.gray.weight),
            f"{ANNOTATION}gray-phase": resolved.gray.phase,
        }
    return found


def _release(prefix: str, release: ReleaseMark | None) -> dict[str, str]:
    if release is None:
        return {}
    return {
        f"{ANNOTATION}{prefix}release": str(release.number),
        f"{ANNOTATION}{prefix}source-commit": release.source,
    }


def _workloads(resolved: Resolved, pod: Pod) -> Iterator[Manifest]:
    yield _webservice(pod.name, pod)
    if resolved.gray and pod.name in resolved.gray.pods:
        yield _webservice(pod.name + GRAY_SUFFIX, resolved.gray.pods[pod.name])


def _webservice(name: str, pod: Pod) -> Manifest:
    main = pod.main
    properties = {
        **_container(main, pod),
        "ports": _ports(pod),
        "cpu": main.spec.cpu,
        "memory": main.spec.memory,
        **_probes(main),
    }
    traits = [
        {
            "type": "scaler",
            "properties": {"replicas": 1 if main.spec.replicas is None else main.spec.replicas},
        },
        *(_init_container(member, pod) for member in pod.mounted if member.attach == "init-container"),
        *(_sidecar(member, pod) for member in pod.sidecars),
        *_json_patch(pod),
    ]
    return {"name": name, "type": "webservice", "properties": _declared(properties), "traits": traits}


def _declared(values: Mapping[str, Any]) -> Manifest:
    """Without what nobody declared."""
    return {key: value for key, value in values.items() if value not in (None, [], {})}


def _container(member: Member, pod: Pod) -> Manifest:
    spec = member.spec
    variables = {**pod.variables(), **(spec.env or {})}
    return {
        "image": spec.image,
        "cmd": list(spec.command or ()),
        "args": list(spec.args or ()),
        "env": [_variable(name, value) for name, value in variables.items()],
    }


def _variable(name: str, value: EnvValue) -> Manifest:
    if not isinstance(value, Reference):
        return {"name": name, "value": value}
    if value.secret is not None:
        return {"name": name, "valueFrom": {"secretKeyRef": {"name": value.secret, "key": value.key}}}
    return {"name": name, "valueFrom": {"configMapKeyRef": {"name": value.config, "key": value.key}}}


def _ports(pod: Pod) -> list[Manifest]:
    """The main container's ports, and the one that requests enter by: the Service exposes that one alone."""
    entrance = pod.entrance[1] if pod.entrance else None
    ports = [
        {"port": number, "name": name, "expose": entrance in (None, number)}
        for name, number in pod.main.ports.items()
    ]
    if entrance is not None and entrance not in pod.main.ports.values():
        ports.append({"port": entrance, "name": "entrance", "expose": True})
    return ports


def _probes(member: Member) -> Manifest:
    readiness = member.spec.readiness or (Probe() if member.ports else None)
    found = {"readinessProbe": readiness, "livenessProbe": member.spec.liveness}
    return {key: _probe(member, probe) for key, probe in found.items() if probe}


def _probe(member: Member, probe: Probe) -> Manifest:
    port = member.port(probe.port)
    return _declared(
        {
            "httpGet": {"path": probe.path, "port": port} if probe.path else None,
            "tcpSocket": None if probe.path else {"port": port},
            "initialDelaySeconds": _seconds(probe.initial_delay),
            "periodSeconds": _seconds(probe.period),
            "timeoutSeconds": _seconds(probe.timeout),
            "failureThreshold": probe.failures,
        }
    )


def _seconds(duration: float | None) -> int | None:
    return None if duration is None else int(duration)


def _init_container(member: Member, pod: Pod) -> Manifest:
    properties = {
        "name": member.name,
        **_container(member, pod),
        "mountName": member.name,
        "appMountPath": member.spec.mount,
        "initMountPath": member.spec.mount,
    }
    return {"type": "init-container", "properties": _declared(properties)}


def _sidecar(member: Member, pod: Pod) -> Manifest:
    properties = {"name": member.name, **_container(member, pod), **_probes(member)}
    return {"type": "sidecar", "properties": _declared(properties)}


def _json_patch(pod: Pod) -> Iterator[Manifest]:
    """What the other traits have no parameter for; sidecars follow the main container in their order."""
    operations = []
    if pod.main.spec.grace is not None:
        operations.append(_add("terminationGracePeriodSeconds", _seconds(pod.main.spec.grace)))
    for index, member in enumerate(pod.sidecars, start=1):
        amounts = _declared({"cpu": member.spec.cpu, "memory": member.spec.memory})
        if amounts:
            operations.append(
                _add(f"containers/{index}/resources", {"requests": amounts, "limits": dict(amounts)})
            )
    operations += _image_volumes(pod)
    if operations:
        yield {"type": "json-patch", "properties": {"operations": operations}}


def _image_volumes(pod: Pod) -> Iterator[Manifest]:
    attached = [member for member in pod.mounted if member.attach == "image-volume"]
    volumes = [
        {"name": member.name, "image": {"reference": member.spec.image, "pullPolicy": "IfNotPresent"}}
        for member in attached
    ]
    mounts = [{"name": member.name, "mountPath": member.spec.mount, "readOnly": True} for member in attached]
    if len(attached) < len(pod.mounted):  # an init-container trait has made both lists
        for volume, mount in zip(volumes, mounts, strict=True):
            yield _add("volumes/-", volume)
            yield _add("containers/0/volumeMounts/-", mount)
    elif attached:
        yield _add("volumes", volumes)
        yield _add("containers/0/volumeMounts", mounts)


def _add(path: str, value: Any) -> Manifest:
    return {"op": "add", "path": f"{POD_SPEC}{path}", "value": value}


def _is_routed(resolved: Resolved, pod: Pod) -> bool:
    """Whether requests to the pod are split or come from outside."""
    split = resolved.gray is not None and pod.name in resolved.gray.pods and bool(_ports(pod))
    return pod.main.spec.entrance is not None or split


def _route(resolved: Resolved, pod: Pod) -> Manifest:
    entrance = pod.main.spec.entrance or Entrance()
    annotations = {f"{ANNOTATION}listen": entrance.listen} if entrance.listen else {}
    rule: Manifest = {"backendRefs": _backends(resolved, pod)}
    if entrance.path:
        rule = {"matches": [{"path": {"type": "PathPrefix", "value": entrance.path}}], **rule}
    route: Manifest = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": _declared(
            {"name": pod.name, "namespace": resolved.namespace, "annotations": annotations}
        ),
        "spec": _declared(
            {
                "parentRefs": [_parent(entrance, pod)],
                "hostnames": list(entrance.hosts or ()),
                "rules": [rule],
            }
        ),
    }
    return {"name": f"{pod.name}-route", "type": "k8s-objects", "properties": {"objects": [route]}}


def _parent(entrance: Entrance, pod: Pod) -> Manifest:
    if entrance.gateway is None:
        return {"group": "", "kind": "Service", "name": pod.name, "port": _service_port(pod)}
    namespace, _, name = entrance.gateway.rpartition("/")
    return _declared({"namespace": namespace or None, "name": name})


def _service_port(pod: Pod) -> int:
    return pod.entrance[1] if pod.entrance else next(iter(pod.main.ports.values()))


def _backends(resolved: Resolved, pod: Pod) -> list[Manifest]:
    backend = {"name": pod.name, "port": _service_port(pod)}
    if not resolved.gray or pod.name not in resolved.gray.pods:
        return [{**backend, "weight": 100}]
    gray = {"name": pod.name + GRAY_SUFFIX, "port": _service_port(resolved.gray.pods[pod.name])}
    weight = resolved.gray.weight
    return [{**backend, "weight": 100 - weight}, {**gray, "weight": weight}]
