"""A component as a container of a Kubernetes pod, and the volumes and constraints of its pod.

Source: Kubernetes API core/v1, v1.33; restartable init containers are native sidecars since v1.29.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipegraft.appspec.pods import Member, Pod, volume_kind
from pipegraft.appspec.rendering.common import Manifest, declared, env_of, probes_of, whole_seconds
from pipegraft.appspec.traits import Security, Volume

__all__ = [
    "beside",
    "claim_name",
    "container_of",
    "copier_of",
    "env_from_of",
    "mounts_of",
    "native_sidecar_of",
    "pod_level_of",
    "pod_spec_of",
    "resources_of",
    "security_of",
    "volume_of",
    "volumes_of",
]

_TOPOLOGY = {"node": "kubernetes.io/hostname", "zone": "topology.kubernetes.io/zone"}
_WHEN = {"preferred": "ScheduleAnyway", "required": "DoNotSchedule"}
_SECCOMP = {"runtime-default": "RuntimeDefault", "unconfined": "Unconfined"}


def beside(pod: Pod, kind: str) -> tuple[Member, ...]:
    """The sidecars that are added to the pod in one way: `container`, `native` or `sidecar-set`."""
    return tuple(member for member in pod.sidecars if member.sidecar == kind)


def pod_spec_of(pod: Pod, selector: Mapping[str, str]) -> Manifest:
    """The whole spec of a pod, without the sidecars that a SidecarSet adds.

    Arguments:
        selector: labels of the workload's pods.
    """
    copiers = [copier_of(member, pod) for member in pod.mounted if member.attach == "init-container"]
    return declared(
        {
            "initContainers": [
                *copiers,
                *(native_sidecar_of(member, pod) for member in beside(pod, "native")),
            ],
            "containers": [
                container_of(pod.main, pod),
                *(container_of(member, pod) for member in beside(pod, "container")),
            ],
            "volumes": volumes_of(pod),
            "imagePullSecrets": [{"name": name} for name in pod.main.spec.pull_secrets or ()],
            **pod_level_of(pod, selector),
        }
    )


def pod_level_of(pod: Pod, selector: Mapping[str, str]) -> Manifest:
    """What a pod says of itself beside its containers, volumes and pull secrets."""
    spec = pod.main.spec
    files_group = spec.security.files_group if spec.security else None
    return declared(
        {
            "serviceAccountName": spec.service_account,
            "securityContext": declared({"fsGroup": files_group}),
            "topologySpreadConstraints": list(_constraints(pod, selector)),
            "terminationGracePeriodSeconds": whole_seconds(spec.grace),
        }
    )


def _constraints(pod: Pod, selector: Mapping[str, str]) -> Iterator[Manifest]:
    for over, key in _TOPOLOGY.items():
        strength = getattr(pod.main.spec.spread, over, None)
        if strength:
            yield {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": _WHEN[strength],
                "labelSelector": {"matchLabels": dict(selector)},
            }


def container_of(member: Member, pod: Pod) -> Manifest:
    """A component with a process as a container."""
    return declared(
        {
            **_image_of(member),
            "ports": [{"name": name, "containerPort": number} for name, number in member.ports.items()],
            "env": env_of(member, pod),
            "envFrom": env_from_of(member),
            "resources": resources_of(member),
            "volumeMounts": mounts_of(member, pod),
            **probes_of(member),
            "securityContext": security_of(member.spec.security),
        }
    )


def native_sidecar_of(member: Member, pod: Pod) -> Manifest:
    """A sidecar that starts before the main container and stops after it."""
    return {**container_of(member, pod), "restartPolicy": "Always"}


def copier_of(member: Member, pod: Pod) -> Manifest:
    """An in-process component that copies itself to its mount path; it may do what its host may."""
    return declared(
        {
            **_image_of(member),
            "env": env_of(member, pod),
            "volumeMounts": [_mount_of_component(member)],
            "securityContext": security_of(pod.main.spec.security),
        }
    )


def _image_of(member: Member) -> Manifest:
    spec = member.spec
    return {
        "name": member.name,
        "image": spec.image,
        "command": list(spec.command or ()),
        "args": list(spec.args or ()),
    }


def env_from_of(member: Member) -> list[Manifest]:
    """Config maps and secrets whose keys become variables."""
    kinds = {"config": "configMapRef", "secret": "secretRef"}
    return [{kinds[kind]: {"name": name}} for name, kind in (member.spec.env_from or {}).items() if kind]


def resources_of(member: Member) -> Manifest:
    """Requests and limits; they are the same unless `limits` says other."""
    spec = member.spec
    requests = declared({"cpu": spec.cpu, "memory": spec.memory})
    limits = requests
    if spec.limits is not None:
        limits = declared({"cpu": spec.limits.cpu, "memory": spec.limits.memory})
    return declared({"requests": requests, "limits": dict(limits)})


def security_of(security: Security | None) -> Manifest:
    """The security context of a container."""
    if security is None:
        return {}
    capabilities: dict[str, list[str]] = {}
    for name, what in (security.capabilities or {}).items():
        if what:
            capabilities.setdefault(what, []).append(name)
    return declared(
        {
            "runAsNonRoot": security.non_root,
            "runAsUser": security.user,
            "runAsGroup": security.group,
            "readOnlyRootFilesystem": security.read_only_root,
            "allowPrivilegeEscalation": security.privilege_escalation,
            "capabilities": capabilities,
            "seccompProfile": declared({"type": _SECCOMP.get(security.seccomp or "")}),
        }
    )


def mounts_of(member: Member, pod: Pod) -> list[Manifest]:
    """What appears in a component's container: in the main one the in-process components too."""
    components = [_mount_of_component(one) for one in pod.mounted] if member is pod.main else []
    return [
        *components,
        *(
            declared({"name": name, "mountPath": volume.path, "readOnly": volume.read_only})
            for name, volume in member.volumes.items()
        ),
    ]


def _mount_of_component(member: Member) -> Manifest:
    read_only = True if member.attach == "image-volume" else None
    return declared({"name": member.name, "mountPath": member.spec.mount, "readOnly": read_only})


def volumes_of(pod: Pod) -> list[Manifest]:
    """All volumes of a pod: those of in-process components, then the declared ones."""
    components = [
        {"name": member.name, "image": {"reference": member.spec.image, "pullPolicy": "IfNotPresent"}}
        if member.attach == "image-volume"
        else {"name": member.name, "emptyDir": {}}
        for member in pod.mounted
    ]
    return [*components, *(volume_of(pod, name, volume) for name, volume in pod.volumes.items())]


def volume_of(pod: Pod, name: str, volume: Volume) -> Manifest:
    """One declared volume."""
    return {"name": name, **_source(pod, name, volume)}


def _source(pod: Pod, name: str, volume: Volume) -> dict[str, Any]:
    match volume_kind(volume):
        case "persistent":
            return {"persistentVolumeClaim": {"claimName": claim_name(pod, name)}}
        case "claim":
            return {"persistentVolumeClaim": {"claimName": volume.claim}}
        case "config":
            return {"configMap": {"name": volume.config}}
        case "secret":
            return {"secret": {"secretName": volume.secret}}
    ephemeral = volume.ephemeral
    medium = "Memory" if ephemeral and ephemeral.memory else None
    return {"emptyDir": declared({"medium": medium, "sizeLimit": ephemeral.limit if ephemeral else None})}


def claim_name(pod: Pod, volume: str) -> str:
    """Name of a workload's claim; both versions use the same while a gray release runs."""
    return f"{pod.name}-{volume}"
