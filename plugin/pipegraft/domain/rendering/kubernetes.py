"""The app spec as plain Kubernetes objects, for Argo CD and Flux where KubeVela is not installed.

A Deployment and a Service for each rpc component, and the objects of the
router where requests enter or are split.
Sources: Kubernetes API v1.33 (apps/v1, core/v1), Gateway API v1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipegraft.domain.appspec import Resolved
from pipegraft.domain.pods import Member, Pod
from pipegraft.domain.rendering.parts import (
    ANNOTATION,
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
from pipegraft.ports.traffic import ClusterRouter

__all__ = ["render_kubernetes"]


def render_kubernetes(
    resolved: Resolved,
    revision: str | None = None,
    routers: Mapping[str, ClusterRouter] = CLUSTER_ROUTERS,
) -> list[Manifest]:
    """Render one environment.

    Arguments:
        revision: commit the spec was read at; a digest of what is rendered if None.
        routers: name → what splits requests in the cluster.

    Returns:
        The objects, each with the revision in its annotation ``pipegraft.dev/revision``.
    """
    objects = [
        {**item, "metadata": dict(item["metadata"])}
        for bound in resolved.resources
        for item in bound.provision.objects
    ]
    objects += [
        item
        for pod in resolved.pods
        for name, version in versions(resolved, pod)
        for item in _workload(resolved, name, version)
    ]
    objects += [
        item
        for pod in resolved.pods
        if is_routed(resolved, pod)
        for item in routes_of(resolved, pod, routers)
    ]
    named = revision or digest_of(objects)
    for item in objects:
        mine = item["metadata"].get("annotations", {})
        item["metadata"]["annotations"] = {
            f"{ANNOTATION}revision": named,
            **annotations_of(resolved),
            **mine,
        }
    return objects


def _workload(resolved: Resolved, name: str, pod: Pod) -> Iterator[Manifest]:
    selector = {"app.kubernetes.io/name": name, "app.kubernetes.io/instance": resolved.name}
    metadata = {
        "name": name,
        "namespace": resolved.namespace,
        "labels": {**selector, **labels_of(resolved)},
    }
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": dict(metadata),
        "spec": {
            "replicas": 1 if pod.main.spec.replicas is None else pod.main.spec.replicas,
            "selector": {"matchLabels": dict(selector)},
            "template": {
                "metadata": {"labels": {**selector, **labels_of(resolved)}},
                "spec": _pod_spec(pod),
            },
        },
    }
    exposed = [port for port in ports_of(pod) if port["expose"]]
    if exposed:
        yield {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": dict(metadata),
            "spec": {
                "selector": dict(selector),
                "ports": [
                    {"name": port["name"], "port": port["port"], "targetPort": port["port"]}
                    for port in exposed
                ],
            },
        }


def _pod_spec(pod: Pod) -> Manifest:
    main = _container(pod.main, pod)
    main["volumeMounts"] = [_mount(member) for member in pod.mounted]
    return declared(
        {
            "initContainers": [
                declared({**_container(member, pod), "volumeMounts": [_mount(member)]})
                for member in pod.mounted
                if member.attach == "init-container"
            ],
            "containers": [declared(main), *(declared(_container(member, pod)) for member in pod.sidecars)],
            "volumes": [_volume(member) for member in pod.mounted],
            "terminationGracePeriodSeconds": whole_seconds(pod.main.spec.grace),
        }
    )


def _container(member: Member, pod: Pod) -> Manifest:
    spec = member.spec
    amounts = declared({"cpu": spec.cpu, "memory": spec.memory})
    return {
        "name": member.name,
        "image": spec.image,
        "command": list(spec.command or ()),
        "args": list(spec.args or ()),
        "ports": [{"name": name, "containerPort": number} for name, number in member.ports.items()],
        "env": env_of(member, pod),
        "resources": {"requests": amounts, "limits": dict(amounts)} if amounts else None,
        **probes_of(member),
    }


def _mount(member: Member) -> Manifest:
    read_only = True if member.attach == "image-volume" else None
    return declared({"name": member.name, "mountPath": member.spec.mount, "readOnly": read_only})


def _volume(member: Member) -> Manifest:
    if member.attach == "image-volume":
        image = {"reference": member.spec.image, "pullPolicy": "IfNotPresent"}
        return {"name": member.name, "image": image}
    return {"name": member.name, "emptyDir": {}}
