"""The app spec as a KubeVela Application (``core.oam.dev/v1beta1``).

One Application an environment, layers resolved before: ``override`` policies key traits by type and
match component names as patterns, so they lose and leak. Sources: the built-in definitions
``webservice``, ``k8s-objects``, ``scaler``, ``init-container``, ``sidecar`` and ``json-patch`` of
vela-core 1.10, and the Gateway API's HTTPRoute v1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipegraft.domain.appspec import Resolved
from pipegraft.domain.pods import Member, Pod
from pipegraft.domain.rendering.parts import (
    Manifest,
    annotations_of,
    declared,
    digest_of,
    env_of,
    labels_of,
    ports_of,
    probes_of,
    versions,
    whole_seconds,
)
from pipegraft.domain.rendering.routers.registered import CLUSTER_ROUTERS
from pipegraft.domain.rendering.routes import is_routed, routes_of
from pipegraft.domain.resources.binding import BoundResource
from pipegraft.ports.traffic import ClusterRouter

__all__ = ["POD_SPEC", "PUBLISH_VERSION", "render_application"]

PUBLISH_VERSION = "app.oam.dev/publishVersion"
"""KubeVela reports it back as ``status.workflow.appRevision``, which ties a status to a revision."""

POD_SPEC = "/spec/template/spec/"
"""Where the pod's parts are, for JSON patches of the workload."""


def render_application(
    resolved: Resolved,
    revision: str | None = None,
    routers: Mapping[str, ClusterRouter] = CLUSTER_ROUTERS,
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
        _webservice(name, version, resolved.resources)
        for pod in resolved.pods
        for name, version in versions(resolved, pod)
    ]
    components += [_route(resolved, pod, routers) for pod in resolved.pods if is_routed(resolved, pod)]
    application: Manifest = {
        "apiVersion": "core.oam.dev/v1beta1",
        "kind": "Application",
        "metadata": {
            "name": resolved.name,
            "namespace": resolved.namespace,
            "labels": labels_of(resolved),
            "annotations": annotations_of(resolved),
        },
        "spec": {"components": components, **_policies(resolved)},
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
        objects = [dict(item) for item in bound.provision.objects]
        yield {"name": bound.request.name, "type": "k8s-objects", "properties": {"objects": objects}}


def _policies(resolved: Resolved) -> Manifest:
    """Resources with an id may stand in several Applications of a namespace; each may apply them."""
    shared = [bound.request.name for bound in resolved.resources if bound.request.id]
    if not shared:
        return {}
    rules = [{"selector": {"componentNames": shared}}]
    return {
        "policies": [{"name": "shared-resources", "type": "shared-resource", "properties": {"rules": rules}}]
    }


def _webservice(name: str, pod: Pod, resources: Iterable[BoundResource]) -> Manifest:
    main = pod.main
    properties = {
        **_container(main, pod),
        "ports": ports_of(pod),
        "cpu": main.spec.cpu,
        "memory": main.spec.memory,
        **probes_of(main),
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


def _container(member: Member, pod: Pod) -> Manifest:
    spec = member.spec
    return {
        "image": spec.image,
        "cmd": list(spec.command or ()),
        "args": list(spec.args or ()),
        "env": env_of(member, pod),
    }


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
    properties = {"name": member.name, **_container(member, pod), **probes_of(member)}
    return {"type": "sidecar", "properties": declared(properties)}


def _json_patch(pod: Pod) -> Iterator[Manifest]:
    """What the other traits have no parameter for; sidecars follow the main container in their order."""
    operations = []
    if pod.main.spec.grace is not None:
        operations.append(_add("terminationGracePeriodSeconds", whole_seconds(pod.main.spec.grace)))
    for index, member in enumerate(pod.sidecars, start=1):
        amounts = declared({"cpu": member.spec.cpu, "memory": member.spec.memory})
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


def _route(resolved: Resolved, pod: Pod, routers: Mapping[str, ClusterRouter]) -> Manifest:
    objects = list(routes_of(resolved, pod, routers))
    return {"name": f"{pod.name}-route", "type": "k8s-objects", "properties": {"objects": objects}}
