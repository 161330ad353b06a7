"""The app spec as a Compose file, to run an environment at home.

Containers of a pod share the network of its main container. What Compose has no word for (weights, the
gateway, liveness, who is released) stands under ``x-pipegraft``, so that nothing is lost silently. Source:
the Compose Specification, with image volumes as of Compose 2.35.

At home a config map ``NAME`` is the folder ``config/NAME`` or the file ``config/NAME.env`` beside the Compose
file, a secret the same below ``secrets/``; Compose says so when one is missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipegraft.appspec.model import AppComponent, EnvValue, Reference
from pipegraft.appspec.pods import Member, Pod, volume_kind
from pipegraft.appspec.rendering.common import (
    Manifest,
    annotations_of,
    declared,
    digest_of,
    http_route_of,
    is_routed,
    probes_of,
    versions,
)
from pipegraft.appspec.spec import Resolved
from pipegraft.appspec.traits import Security, Volume, amount_of, expand

__all__ = ["render_compose"]


def render_compose(resolved: Resolved, revision: str | None = None) -> Manifest:
    """Render one environment.

    Arguments:
        revision: commit the spec was read at; a digest of what is rendered if None.
    """
    services: dict[str, Manifest] = {}
    volumes: dict[str, Manifest] = {}
    for bound in resolved.resources:
        services |= {name: _provided(service) for name, service in bound.provision.services.items()}
        volumes |= {volume: {} for volume in bound.provision.volumes}
    for pod in resolved.pods:
        for name, version in versions(resolved, pod):
            waits = dict(_resources_of(resolved, version))
            services |= dict(_services(name, version, waits, stable=name == pod.name))
            volumes |= {volume: {} for volume in _copied(name, version).values()}
            volumes |= _named_volumes(name, version)
    routes = [http_route_of(resolved, pod)["spec"] for pod in resolved.pods if is_routed(resolved, pod)]
    document: Manifest = {"name": resolved.name, "services": services, **declared({"volumes": volumes})}
    extra = declared(
        {"namespace": resolved.namespace, "annotations": annotations_of(resolved), "routes": routes}
    )
    return {**document, "x-pipegraft": {"revision": revision or digest_of([document, extra]), **extra}}


def _resources_of(resolved: Resolved, pod: Pod) -> Iterator[tuple[str, Manifest]]:
    """Services of the resources that a pod uses, and what it waits for: nothing here starts it again."""
    texts = [text for member in pod.members for text in _texts(member)]
    for bound in resolved.resources:
        for name, service in bound.provision.services.items():
            if bound.used_by(pod) or any(name in text for text in texts):
                yield name, {"condition": f"service_{'healthy' if 'healthcheck' in service else 'started'}"}


def _texts(member: Member) -> Iterator[str]:
    spec = member.spec
    yield from (*(spec.command or ()), *(spec.args or ()))
    yield from (value for value in (spec.env or {}).values() if isinstance(value, str))


def _services(
    name: str, pod: Pod, waits: Mapping[str, Manifest], *, stable: bool
) -> Iterator[tuple[str, Manifest]]:
    copied = _copied(name, pod)
    spec = pod.main.spec
    main = _service(name, pod.main, pod)
    main |= {
        "scale": spec.replicas,
        "stop_grace_period": f"{spec.grace:g}s" if spec.grace is not None else None,
        "annotations": dict(spec.annotations or {}),
        "ports": list(_published(pod)) if stable else [],
        "volumes": [*(_volume(member, copied) for member in pod.mounted), *main["volumes"]],
        "depends_on": {
            **waits,
            **{f"{name}-{member}": {"condition": "service_completed_successfully"} for member in copied},
        },
        **_when(pod),
    }
    yield name, declared(main)
    for member in pod.mounted:
        if member.name in copied:
            copying = {
                **_service(name, member, pod),
                **_security_options(spec.security),
                "volumes": [_volume(member, copied)],
                **_when(pod),
            }
            yield f"{name}-{member.name}", declared(copying)
    for member in pod.sidecars:
        beside = {**_service(name, member, pod), "network_mode": f"service:{name}", **_when(pod)}
        yield f"{name}-{member.name}", declared(beside)


def _provided(service: Mapping[str, Any]) -> Manifest:
    """The container of a resource, its secrets as variables of the caller."""
    environment = _environment(service.get("environment", {}))
    return {**service, **({"environment": environment} if environment else {})}


def _when(pod: Pod) -> Manifest:
    """A job is not started again; one with a schedule is started by hand: ``docker compose run``."""
    job = pod.main.spec.job
    if job is None:
        return {}
    return declared({"restart": "no", "profiles": ["jobs"] if job.schedule else []})


def _service(name: str, member: Member, pod: Pod) -> Manifest:
    spec = member.spec
    environment = _environment({**pod.variables(), **(spec.env or {})})
    limits = spec if spec.limits is None else spec.limits
    extra = {"ports": dict(member.ports), **probes_of(member), **_references(spec.env or {}), **_unsaid(spec)}
    return {
        "image": spec.image,
        "entrypoint": [expand(word, environment, _plain) for word in spec.command or ()],
        "command": [expand(word, environment, _plain) for word in spec.args or ()],
        "environment": environment,
        "env_file": _env_files(member),
        "cpus": limits.cpu and float(amount_of(limits.cpu)),
        "mem_limit": limits.memory and _size_of(limits.memory),
        "mem_reservation": spec.memory and _size_of(spec.memory),
        **_security_options(spec.security),
        "volumes": _mounts(name, member, pod),
        "x-pipegraft": declared(extra),
    }


_UNSAID = {
    "cpu", "memory", "limits", "autoscaling", "update", "disruption", "spread", "security", "service_account",
    "pull_secrets", "volumes", "sidecar", "job", "entrance", "service_ports",
}  # fmt: skip
"""What Compose has no word for, or says with less."""


def _unsaid(spec: AppComponent) -> Manifest:
    found: Manifest = spec.model_dump(mode="json", exclude_none=True, include=_UNSAID)
    return found


def _environment(variables: Mapping[str, EnvValue]) -> dict[str, str]:
    """Text as it is, with ``$(VARIABLE)`` put in, which Compose does not know; references of the caller."""
    known: dict[str, str] = {}
    for name, value in variables.items():
        if isinstance(value, Reference):
            known[name] = _of_the_caller(value)
        else:
            known[name] = expand(value or "", known, _plain)
    return known


def _plain(text: str) -> str:
    """Compose would substitute what follows a single ``$``."""
    return text.replace("$", "$$")


def _of_the_caller(value: Reference) -> str:
    """A reference as a variable that whoever runs Compose must set."""
    name = f"{value.secret or value.config}_{value.key}".upper()
    safe = "".join(letter if letter.isalnum() else "_" for letter in name)
    return f"${{{safe}:?set it to the key {value.key} of {value.secret or value.config}}}"


def _references(env: Mapping[str, EnvValue]) -> Manifest:
    found = {
        key: value.model_dump(exclude_none=True) for key, value in env.items() if isinstance(value, Reference)
    }
    return declared({"references": found})


def _published(pod: Pod) -> Iterator[str]:
    """The entrance, on the address the embedded engine would listen on."""
    entrance = pod.main.spec.entrance
    if entrance and pod.entrance:
        yield f"{entrance.listen or '127.0.0.1:'}:{pod.entrance[1]}"


def _copied(name: str, pod: Pod) -> dict[str, str]:
    """Component → volume, for those whose image copies itself."""
    return {
        member.name: f"{name}-{member.name}" for member in pod.mounted if member.attach == "init-container"
    }


def _volume(member: Member, copied: Mapping[str, str]) -> dict[str, Any]:
    if member.name in copied:
        return {"type": "volume", "source": copied[member.name], "target": member.spec.mount}
    return {"type": "image", "source": member.spec.image, "target": member.spec.mount}


_FOLDERS = {"config": "config", "secret": "secrets"}


def _env_files(member: Member) -> list[Manifest]:
    """Files of variables in place of config maps and secrets (Compose 2.30: ``format: raw``)."""
    return [
        {"path": f"./{_FOLDERS[kind]}/{name}.env", "required": True, "format": "raw"}
        for name, kind in (member.spec.env_from or {}).items()
        if kind
    ]


def _mounts(name: str, member: Member, pod: Pod) -> list[Manifest]:
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


def _named_volumes(name: str, pod: Pod) -> dict[str, Manifest]:
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
                options["driver_opts"]["o"] = f"size={_size_of(size)}"
        found[_volume_name(name, volume_name, pod)] = options
    return found


def _size_of(quantity: str) -> str:
    """Bytes as Compose and tmpfs take them: their ``g`` is Kubernetes' ``Gi``, and has no fraction."""
    if re.fullmatch(r"\d+[KMGTP]i", quantity):
        return quantity[:-1].lower()
    return str(math.ceil(amount_of(quantity)))


def _security_options(security: Security | None) -> Manifest:
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
