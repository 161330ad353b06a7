"""The app spec as a KubeVela Application (``core.oam.dev/v1beta1``).

One Application an environment, layers resolved before: ``override`` policies key traits by type and
match component names as patterns, so they lose and leak. Sources: the built-in definitions
``webservice``, ``k8s-objects``, ``scaler``, ``init-container``, ``sidecar`` and ``json-patch`` of
vela-core 1.10, and the Gateway API's HTTPRoute v1. What no definition has a parameter for is a JSON patch
of the workload (`patches`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pipegraft.appspec.pods import Member, Pod
from pipegraft.appspec.ports.traffic import ClusterRouter
from pipegraft.appspec.rendering.common import (
    Manifest,
    annotations_of,
    declared,
    digest_of,
    env_of,
    labels_of,
    ports_of,
    probes_of,
    versions,
)
from pipegraft.appspec.rendering.containers import beside
from pipegraft.appspec.rendering.objects import job_of, objects_of
from pipegraft.appspec.rendering.patches import workload_patches
from pipegraft.appspec.rendering.routes import is_routed, routes_of
from pipegraft.appspec.resources.binding import BoundResource
from pipegraft.appspec.routers.registered import CLUSTER_ROUTERS
from pipegraft.appspec.spec import Resolved

__all__ = ["PUBLISH_VERSION", "render_application"]

PUBLISH_VERSION = "app.oam.dev/publishVersion"
"""KubeVela reports it back as ``status.workflow.appRevision``, which ties a status to a revision."""


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
        yield _objects(bound.request.name, [dict(item) for item in bound.provision.objects])


def _policies(resolved: Resolved) -> Manifest:
    """Resources with an id may stand in several Applications of a namespace; each may apply them."""
    shared = [bound.request.name for bound in resolved.resources if bound.request.id]
    if not shared:
        return {}
    rules = [{"selector": {"componentNames": shared}}]
    return {
        "policies": [{"name": "shared-resources", "type": "shared-resource", "properties": {"rules": rules}}]
    }


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
    operations = list(workload_patches(pod, selector))
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
    return {key: probe for key, probe in probes_of(member).items() if key != "startupProbe"}


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
