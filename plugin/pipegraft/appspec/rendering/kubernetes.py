"""The app spec as plain Kubernetes objects, for Argo CD and Flux where KubeVela is not installed.

A Deployment and a Service for each rpc component or a job, what stands beside it (`objects`), and the objects
of the router where requests enter or are split. Sources: Kubernetes API v1.33, Gateway API v1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipegraft.appspec.pods import Pod
from pipegraft.appspec.ports.traffic import ClusterRouter
from pipegraft.appspec.rendering.common import (
    ANNOTATION,
    Manifest,
    annotations_of,
    declared,
    digest_of,
    labels_of,
    ports_of,
    versions,
)
from pipegraft.appspec.rendering.containers import pod_spec_of
from pipegraft.appspec.rendering.objects import job_of, objects_of, strategy_of
from pipegraft.appspec.rendering.routes import is_routed, routes_of
from pipegraft.appspec.routers.registered import CLUSTER_ROUTERS
from pipegraft.appspec.spec import Resolved

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
        for item in _version(resolved, name, version)
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


def _version(resolved: Resolved, name: str, pod: Pod) -> Iterator[Manifest]:
    selector = {"app.kubernetes.io/name": name, "app.kubernetes.io/instance": resolved.name}
    job = pod.main.spec.job
    if job:
        yield job_of(resolved, pod, job, selector)
    else:
        yield from _deployment(resolved, name, pod, selector)
    yield from objects_of(resolved, name, pod, selector)


def _deployment(resolved: Resolved, name: str, pod: Pod, selector: Mapping[str, str]) -> Iterator[Manifest]:
    labels = {**selector, **labels_of(resolved)}
    metadata = {"name": name, "namespace": resolved.namespace, "labels": labels}
    spec = pod.main.spec
    replicas = 1 if spec.replicas is None else spec.replicas
    template = {
        "metadata": declared({"labels": dict(labels), "annotations": dict(spec.annotations or {})}),
        "spec": pod_spec_of(pod, selector),
    }
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": dict(metadata),
        "spec": declared(
            {
                "replicas": None if spec.autoscaling else replicas,
                "strategy": strategy_of(pod),
                "selector": {"matchLabels": dict(selector)},
                "template": template,
            }
        ),
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
