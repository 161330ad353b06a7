"""The app spec as plain Kubernetes objects, for Argo CD and Flux where KubeVela is not installed.

A Deployment and a Service for each rpc component or a job, what stands beside it (claims, autoscalers,
disruption budgets, sidecar sets), and the objects of the router where requests enter or are split. KubeVela
gets those beside as they are: its ``hpa`` trait gives memory the target of the CPU, ``cron-task`` and
``task`` leave out probes and args (vela-core 1.10). Sources: Kubernetes API v1.33 (core/v1, autoscaling/v2,
policy/v1, batch/v1), Gateway API v1 and OpenKruise ``apps.kruise.io/v1beta1``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipegraft.appspec.pods import Member, Pod, volume_kind
from pipegraft.appspec.rendering.common import (
    ANNOTATION,
    Manifest,
    annotations_of,
    declared,
    digest_of,
    is_routed,
    labels_of,
    ports_of,
    routes_of,
    versions,
    whole_seconds,
)
from pipegraft.appspec.rendering.containers import beside, claim_name, container_of, pod_spec_of, volume_of
from pipegraft.appspec.routers import CLUSTER_ROUTERS
from pipegraft.appspec.spec import Resolved
from pipegraft.appspec.traffic_ports import ClusterRouter
from pipegraft.appspec.traits import Job

__all__ = ["KEPT", "job_of", "objects_of", "render_kubernetes", "strategy_of"]

_ACCESS = {"once": "ReadWriteOnce", "many": "ReadWriteMany", "read-many": "ReadOnlyMany"}
_OVERLAP = {"allow": "Allow", "forbid": "Forbid", "replace": "Replace"}

Selector = Mapping[str, str]


def render_kubernetes(
    resolved: Resolved, revision: str | None = None, routers: Mapping[str, ClusterRouter] = CLUSTER_ROUTERS
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
        item["metadata"]["annotations"] = {f"{ANNOTATION}revision": named, **annotations_of(resolved), **mine}
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
                    {
                        "name": port["name"],
                        "port": port["port"],
                        "targetPort": port.get("containerPort", port["port"]),
                    }
                    for port in exposed
                ],
            },
        }


def objects_of(resolved: Resolved, name: str, pod: Pod, selector: Selector) -> list[Manifest]:
    """What stands beside one version of a workload.

    Arguments:
        name: of the workload.
        selector: labels of its pods.
    """
    metadata = {"name": name, "namespace": resolved.namespace, "labels": labels_of(resolved)}
    return [
        *_claims(resolved, name, pod),
        *_autoscaler(metadata, name, pod),
        *_budget(metadata, pod, selector),
        *(_sidecar_set(resolved, name, member, pod, selector) for member in beside(pod, "sidecar-set")),
    ]


def strategy_of(pod: Pod) -> Manifest:
    """How a Deployment replaces its pods; all at once where a volume can be used from one node only."""
    update = pod.main.spec.update
    if update is None or update.strategy is None:
        single = any(_single(volume) for volume in pod.volumes.values())
        if single and not (update and (update.surge is not None or update.unavailable is not None)):
            return {"type": "Recreate"}
    if update is None:
        return {}
    if update.strategy == "recreate":
        return {"type": "Recreate"}
    rolling = declared({"maxSurge": update.surge, "maxUnavailable": update.unavailable})
    return declared({"type": "RollingUpdate", "rollingUpdate": rolling})


def _single(volume: Any) -> bool:
    return bool(volume.persistent and volume.persistent.access in (None, "once"))


KEPT = {
    "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
    "kustomize.toolkit.fluxcd.io/prune": "disabled",
}
"""Data outlives a wrong edit: a claim that is no longer declared stays until somebody deletes it (Argo CD,
Sync Options; Flux, Kustomization: Prune)."""


def _claims(resolved: Resolved, name: str, pod: Pod) -> Iterator[Manifest]:
    """The claims of a workload, once: the new version uses those of the stable one."""
    held = _held_by_stable(resolved, name, pod)
    for volume_name, volume in pod.volumes.items():
        if volume_kind(volume) != "persistent" or volume.persistent is None or volume_name in held:
            continue
        yield {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": claim_name(pod, volume_name),
                "namespace": resolved.namespace,
                "labels": labels_of(resolved),
                "annotations": KEPT,
            },
            "spec": declared(
                {
                    "accessModes": [_ACCESS[volume.persistent.access or "once"]],
                    "storageClassName": volume.persistent.storage_class,
                    "resources": {"requests": {"storage": volume.persistent.size}},
                }
            ),
        }


def _held_by_stable(resolved: Resolved, name: str, pod: Pod) -> Iterable[str]:
    if name == pod.name:
        return ()
    return next(stable.volumes.keys() for stable in resolved.pods if stable.name == pod.name)


def _autoscaler(metadata: Manifest, name: str, pod: Pod) -> Iterator[Manifest]:
    scaling = pod.main.spec.autoscaling
    if scaling is None:
        return
    metrics = [
        {
            "type": "Resource",
            "resource": {"name": resource, "target": {"type": "Utilization", "averageUtilization": percent}},
        }
        for resource, percent in (("cpu", scaling.cpu), ("memory", scaling.memory))
        if percent is not None
    ]
    yield {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": dict(metadata),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": scaling.min or 1,
            "maxReplicas": scaling.max,
            "metrics": metrics,
        },
    }


def _budget(metadata: Manifest, pod: Pod, selector: Selector) -> Iterator[Manifest]:
    disruption = pod.main.spec.disruption
    bounds = disruption and declared(
        {"minAvailable": disruption.min_available, "maxUnavailable": disruption.max_unavailable}
    )
    if bounds:
        yield {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": dict(metadata),
            "spec": {**bounds, "selector": {"matchLabels": dict(selector)}},
        }


def _sidecar_set(resolved: Resolved, name: str, member: Member, pod: Pod, selector: Selector) -> Manifest:
    """A sidecar that OpenKruise adds to pods that run, and replaces there alone."""
    volumes = [volume_of(pod, volume, pod.volumes[volume]) for volume in member.volumes]
    return {
        "apiVersion": "apps.kruise.io/v1beta1",
        "kind": "SidecarSet",
        # Sidecar sets have no namespace, so that their names carry it.
        "metadata": {"name": f"{resolved.namespace}.{name}.{member.name}", "labels": labels_of(resolved)},
        "spec": declared(
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": resolved.namespace}},
                "selector": {"matchLabels": dict(selector)},
                "containers": [{**container_of(member, pod), "podInjectPolicy": "AfterAppContainer"}],
                "volumes": volumes,
                "updateStrategy": {"type": "RollingUpdate", "maxUnavailable": 1},
            }
        ),
    }


def job_of(resolved: Resolved, pod: Pod, job: Job, selector: Selector) -> Manifest:
    """A Job for each change of what runs, or a CronJob.

    Arguments:
        selector: labels of its pods.
    """
    labels = {**selector, **labels_of(resolved)}
    template: Manifest = {
        "metadata": declared({"labels": dict(labels), "annotations": dict(pod.main.spec.annotations or {})}),
        "spec": {**pod_spec_of(pod, selector), "restartPolicy": "Never"},
    }
    spec = declared(
        {
            "backoffLimit": job.retries,
            "activeDeadlineSeconds": whole_seconds(job.deadline),
            "template": template,
        }
    )
    metadata = {"name": pod.name, "namespace": resolved.namespace, "labels": dict(labels)}
    if job.schedule is None:
        # A Job cannot be changed: what runs is part of its name.
        metadata["name"] = f"{pod.name}-{digest_of(spec)[:10]}"
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
    timed = {
        "schedule": job.schedule,
        "timeZone": job.time_zone,
        "concurrencyPolicy": _OVERLAP.get(job.overlap or ""),
        "jobTemplate": {"spec": spec},
    }
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": declared(timed)}
