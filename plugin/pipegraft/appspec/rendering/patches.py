"""What KubeVela's definitions have no parameter for, as JSON patches (RFC 6902) of the workload they make.

The patches come last: ``webservice`` and the ``init-container`` traits have made the Deployment by then,
its main container first, sidecars behind it in their order. Nothing here removes or replaces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipegraft.appspec.pods import Member, Pod
from pipegraft.appspec.rendering.common import Manifest, declared, probes_of
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
from pipegraft.appspec.rendering.objects import strategy_of

__all__ = ["POD_SPEC", "workload_patches"]

POD_SPEC = "/spec/template/spec/"
"""Where the pod's parts are in the workload."""


def workload_patches(pod: Pod, selector: Mapping[str, str]) -> Iterator[Manifest]:
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
            "startupProbe": probes_of(member).get("startupProbe"),
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
    return {"op": "add", "path": f"{POD_SPEC}{path}", "value": value}
