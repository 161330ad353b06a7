"""The app spec as a KubeVela Application (``core.oam.dev/v1beta1``).

One Application an environment, layers resolved before: ``override`` policies key traits by type and match
component names as patterns, so they lose and leak. Sources: the built-in definitions ``webservice``,
``k8s-objects``, ``scaler``, ``init-container``, ``sidecar`` and ``json-patch`` of vela-core 1.10, and the
Gateway API's HTTPRoute v1. What no definition has a parameter for is a JSON patch of the workload (RFC
6902). The patches come last: ``webservice`` and the ``init-container`` traits have made the Deployment by
then, its main container first, sidecars behind it in their order. Nothing in them removes or replaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipegraft.appspec.pods import Member, Pod
from pipegraft.appspec.rendering.common import (
    Manifest,
    annotations_of,
    declared,
    digest_of,
    env_of,
    is_routed,
    labels_of,
    ports_of,
    probes_of,
    routes_of,
    versions,
)
from pipegraft.appspec.rendering.containers import (
    beside,
    env_from_of,
    mounts_of,
    native_sidecar_of,
    pod_level_of,
    resources_of,
    security_of,
    volumes_of,
)
from pipegraft.appspec.rendering.kubernetes import job_of, objects_of, strategy_of
from pipegraft.appspec.resource_binding import BoundResource
from pipegraft.appspec.routers import CLUSTER_ROUTERS
from pipegraft.appspec.spec import Resolved
from pipegraft.appspec.traffic_ports import ClusterRouter

__all__ = ["PUBLISH_VERSION", "render_application"]

PUBLISH_VERSION = "app.oam.dev/publishVersion"
"""KubeVela reports it back as ``status.workflow.appRevision``, which ties a status to a revision."""

_POD_SPEC = "/spec/template/spec/"
"""Where the pod's parts are in the workload."""


def render_application(
    resolved: Resolved, revision: str | None = None, routers: Mapping[str, ClusterRouter] = CLUSTER_ROUTERS
) -> Manifest:
    """Render one environment.

    Arguments:
        revision: commit the spec was read at; a digest of what is rendered if None.
        routers: name → what splits requests in the cluster.

    Returns:
        The Application, keys in a fixed order.
    """
    components = [part for bound in resolved.resources for part in _resource(bound)]
    components += [
        component
        for pod in resolved.pods
        for name, version in versions(resolved, pod)
        for component in _version(resolved, name, version)
    ]
    components += [
        _objects(f"{pod.name}-route", list(routes_of(resolved, pod, routers)))
        for pod in resolved.pods
        if is_routed(resolved, pod)
    ]
    application: Manifest = {
        "apiVersion": "core.oam.dev/v1beta1",
        "kind": "Application",
        "metadata": {
            "name": resolved.name,
            "namespace": resolved.namespace,
            "labels": labels_of(resolved),
            "annotations": annotations_of(resolved),
        },
        "spec": {"components": components, **declared({"policies": _policies(resolved, components)})},
    }
    version = revision or digest_of(application)
    application["metadata"]["annotations"] = {
        PUBLISH_VERSION: version,
        **application["metadata"]["annotations"],
    }
    return application


def _resource(bound: BoundResource) -> Iterator[Manifest]:
    yield from (dict(component) for component in bound.provision.components)
    if bound.provision.objects:
        yield _objects(bound.request.name, [dict(item) for item in bound.provision.objects])


def _policies(resolved: Resolved, components: Iterable[Manifest]) -> list[Manifest]:
    """What may stand in several Applications of a namespace is shared; claims outlive what declares them.

    The strategy is recorded when a claim is applied, so it holds for one that is declared no more (vela-core,
    resource keeper).
    """
    shared = [bound.request.name for bound in resolved.resources if bound.request.id]
    claims = {"selector": {"resourceTypes": ["PersistentVolumeClaim"]}, "strategy": "never"}
    policies = {
        "shared-resource": [{"selector": {"componentNames": shared}}] if shared else [],
        "garbage-collect": [claims] if any(map(_claims, components)) else [],
    }
    names = {"shared-resource": "shared-resources", "garbage-collect": "kept-claims"}
    return [
        {"name": names[kind], "type": kind, "properties": {"rules": rules}}
        for kind, rules in policies.items()
        if rules
    ]


def _claims(component: Manifest) -> bool:
    """Whether a component makes claims: itself, or by the trait ``storage``."""
    objects = component.get("properties", {}).get("objects") or ()
    traits = component.get("traits") or ()
    return any(one.get("kind") == "PersistentVolumeClaim" for one in objects) or any(
        one.get("type") == "storage" for one in traits
    )


def _version(resolved: Resolved, name: str, pod: Pod) -> Iterator[Manifest]:
    selector = {"app.oam.dev/name": resolved.name, "app.oam.dev/component": name}
    job = pod.main.spec.job
    if job:
        yield _objects(name, [job_of(resolved, pod, job, selector)])
    else:
        yield _webservice(name, pod, selector, resolved.resources)
    beside_it = objects_of(resolved, name, pod, selector)
    if beside_it:
        yield _objects(f"{name}-objects", beside_it)


def _objects(name: str, objects: list[Manifest]) -> Manifest:
    return {"name": name, "type": "k8s-objects", "properties": {"objects": objects}}


def _webservice(
    name: str, pod: Pod, selector: Mapping[str, str], resources: Iterable[BoundResource]
) -> Manifest:
    main = pod.main
    amounts = {} if main.spec.limits else {"cpu": main.spec.cpu, "memory": main.spec.memory}
    properties = {
        "annotations": dict(main.spec.annotations or {}),
        **_container(main, pod),
        "imagePullSecrets": list(main.spec.pull_secrets or ()),
        "ports": ports_of(pod),
        **amounts,
        **_probes(main),
    }
    replicas = 1 if main.spec.replicas is None else main.spec.replicas
    scaler = {"type": "scaler", "properties": {"replicas": replicas}}
    traits = [
        *([] if main.spec.autoscaling else [scaler]),
        *(_init_container(member, pod) for member in _copiers(pod)),
        *(_sidecar(member, pod) for member in beside(pod, "container")),
    ]
    operations = list(_workload_patches(pod, selector))
    if operations:
        traits.append({"type": "json-patch", "properties": {"operations": operations}})
    waits = {
        "dependsOn": [one.request.name for one in resources if one.provision.components and one.used_by(pod)]
    }
    return {
        "name": name,
        "type": "webservice",
        **declared(waits),
        "properties": declared(properties),
        "traits": traits,
    }


def _copiers(pod: Pod) -> list[Member]:
    return [member for member in pod.mounted if member.attach == "init-container"]


def _container(member: Member, pod: Pod) -> Manifest:
    spec = member.spec
    return {
        "image": spec.image,
        "cmd": list(spec.command or ()),
        "args": list(spec.args or ()),
        "env": env_of(member, pod),
    }


def _probes(member: Member) -> Manifest:
    """Those the definitions have parameters for."""
    return {key: probe for key, probe in probes_of(member).items() if _has_parameter(key, probe)}


def _has_parameter(key: str, probe: Manifest) -> bool:
    return key != "startupProbe" and "grpc" not in probe


def _init_container(member: Member, pod: Pod) -> Manifest:
    properties = {
        "name": member.name,
        **_container(member, pod),
        "mountName": member.name,
        "appMountPath": member.spec.mount,
        "initMountPath": member.spec.mount,
    }
    return {"type": "init-container", "properties": declared(properties)}


def _sidecar(member: Member, pod: Pod) -> Manifest:
    properties = {"name": member.name, **_container(member, pod), **_probes(member)}
    return {"type": "sidecar", "properties": declared(properties)}


def _workload_patches(pod: Pod, selector: Mapping[str, str]) -> Iterator[Manifest]:
    """The operations for one workload.

    Arguments:
        selector: labels of its pods.
    """
    copiers = [member.name for member in pod.mounted if member.attach == "init-container"]
    strategy = strategy_of(pod)
    if strategy:
        yield {"op": "add", "path": "/spec/strategy", "value": strategy}
    for key, value in pod_level_of(pod, selector).items():
        yield _add(key, value)
    security = security_of(pod.main.spec.security)
    for index in range(len(copiers) if security else 0):
        yield _add(f"initContainers/{index}/securityContext", dict(security))
    natives = [native_sidecar_of(member, pod) for member in beside(pod, "native")]
    yield from _added("initContainers", natives, exists=bool(copiers))
    for index, member in enumerate((pod.main, *beside(pod, "container"))):
        for key, value in _container_parts(member, pod).items():
            yield _add(f"containers/{index}/{key}", value)
    mounts = [mount for mount in mounts_of(pod.main, pod) if mount["name"] not in copiers]
    yield from _added("containers/0/volumeMounts", mounts, exists=bool(copiers))
    volumes = [volume for volume in volumes_of(pod) if volume["name"] not in copiers]
    yield from _added("volumes", volumes, exists=bool(copiers))


def _container_parts(member: Member, pod: Pod) -> Manifest:
    """What neither ``webservice`` nor ``sidecar`` can say of a container."""
    main = member is pod.main
    ports = [{"name": name, "containerPort": number} for name, number in member.ports.items()]
    return declared(
        {
            "ports": [] if main else ports,
            "envFrom": env_from_of(member),
            "resources": {} if main and member.spec.limits is None else resources_of(member),
            **{key: probe for key, probe in probes_of(member).items() if not _has_parameter(key, probe)},
            "securityContext": security_of(member.spec.security),
            "volumeMounts": [] if main else mounts_of(member, pod),
        }
    )


def _added(path: str, items: list[Manifest], *, exists: bool) -> Iterator[Manifest]:
    """Items of a list that a trait has made already, or the list."""
    if exists:
        yield from (_add(f"{path}/-", item) for item in items)
    elif items:
        yield _add(path, items)


def _add(path: str, value: Any) -> Manifest:
    return {"op": "add", "path": f"{_POD_SPEC}{path}", "value": value}
