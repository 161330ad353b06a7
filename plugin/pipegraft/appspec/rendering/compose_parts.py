"""Volumes, files of variables and security options of a Compose service.

At home a config map ``NAME`` is the folder ``config/NAME`` or the file ``config/NAME.env`` beside the Compose
file, a secret the same below ``secrets/``; Compose says so when one is missing.
"""

from __future__ import annotations

import math
import re

from pipegraft.appspec.model.traits import Security, Volume
from pipegraft.appspec.pods import Member, Pod, volume_kind
from pipegraft.appspec.quantities import amount_of
from pipegraft.appspec.rendering.common import Manifest, declared

__all__ = ["env_files", "mounts", "named_volumes", "security_options", "size_of"]

_FOLDERS = {"config": "config", "secret": "secrets"}


def env_files(member: Member) -> list[Manifest]:
    """Files of variables in place of config maps and secrets (Compose 2.30: ``format: raw``)."""
    return [
        {"path": f"./{_FOLDERS[kind]}/{name}.env", "required": True, "format": "raw"}
        for name, kind in (member.spec.env_from or {}).items()
        if kind
    ]


def mounts(name: str, member: Member, pod: Pod) -> list[Manifest]:
    """The volumes of a service.

    Arguments:
        name: of the workload, which owns its ephemeral volumes.
    """
    return [
        declared(
            {
                **_source(name, volume_name, pod),
                "target": volume.path,
                "read_only": volume.read_only or _is_file(pod.volumes[volume_name]) or None,
            }
        )
        for volume_name, volume in member.volumes.items()
    ]


def _source(name: str, volume_name: str, pod: Pod) -> Manifest:
    volume = pod.volumes[volume_name]
    for kind, folder in _FOLDERS.items():
        if volume_kind(volume) == kind:
            return {
                "type": "bind",
                "source": f"./{folder}/{getattr(volume, kind)}",
                "bind": {"create_host_path": False},
            }
    return {"type": "volume", "source": _volume_name(name, volume_name, pod)}


def _is_file(volume: Volume) -> bool:
    return volume_kind(volume) in _FOLDERS


def _volume_name(name: str, volume_name: str, pod: Pod) -> str:
    """Both versions share what outlives a pod; what is ephemeral is of one version."""
    kept = volume_kind(pod.volumes[volume_name]) in ("persistent", "claim")
    return f"{pod.name if kept else name}-{volume_name}"


def named_volumes(name: str, pod: Pod) -> dict[str, Manifest]:
    """The declared volumes of a workload, for the top of the file."""
    found: dict[str, Manifest] = {}
    for volume_name, volume in pod.volumes.items():
        if _is_file(volume):
            continue
        options: Manifest = {}
        if volume_kind(volume) == "claim":
            options = {"external": True, "name": volume.claim}
        elif volume.ephemeral and volume.ephemeral.memory:
            size = volume.ephemeral.limit
            options = {"driver": "local", "driver_opts": {"type": "tmpfs", "device": "tmpfs"}}
            if size:
                options["driver_opts"]["o"] = f"size={size_of(size)}"
        found[_volume_name(name, volume_name, pod)] = options
    return found


def size_of(quantity: str) -> str:
    """Bytes as Compose and tmpfs take them: their ``g`` is Kubernetes' ``Gi``, and has no fraction."""
    if re.fullmatch(r"\d+[KMGTP]i", quantity):
        return quantity[:-1].lower()
    return str(math.ceil(amount_of(quantity)))


def security_options(security: Security | None) -> Manifest:
    """What a process may do, in the words of Compose."""
    if security is None:
        return {}
    capabilities = security.capabilities or {}
    user = None
    if security.user is not None:  # Compose has no word for a group alone
        user = str(security.user) if security.group is None else f"{security.user}:{security.group}"
    options = [
        *(["no-new-privileges:true"] if security.privilege_escalation is False else []),
        *(["seccomp:unconfined"] if security.seccomp == "unconfined" else []),
    ]
    return declared(
        {
            "user": user,
            "read_only": security.read_only_root,
            "cap_add": [name for name, what in capabilities.items() if what == "add"],
            "cap_drop": [name for name, what in capabilities.items() if what == "drop"],
            "security_opt": options,
        }
    )
