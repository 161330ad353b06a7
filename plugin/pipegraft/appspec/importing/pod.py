"""The pod of a workload: its first container is the component, the others are sidecars or mounted into it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipegraft.appspec.importing.taking import (
    Imported,
    Route,
    Taking,
    found_values,
    numbered,
    port_name,
    taken_amounts,
    taken_probe,
)
from pipegraft.appspec.model import SET_BY_US

__all__ = ["take_claim", "take_pod"]

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECCOMP = {"RuntimeDefault": "runtime-default", "Unconfined": "unconfined"}
_TOPOLOGY = {"kubernetes.io/hostname": "node", "topology.kubernetes.io/zone": "zone"}
_WHEN = {"ScheduleAnyway": "preferred", "DoNotSchedule": "required"}
_REFERENCES = {"secretKeyRef": "secret", "configMapKeyRef": "config"}
_SOURCES = {"secretRef": "secret", "configMapRef": "config"}

_VOLUMES = (
    ("persistentVolumeClaim", "claimName"),
    ("configMap", "name"),
    ("secret", "secretName"),
    ("emptyDir",),
)
"""Where a volume that an app spec can have says what it is; what mounts another one is left."""
_ACCESS = {"ReadWriteOnce": "once", "ReadWriteMany": "many", "ReadOnlyMany": "read-many"}
_MEANT_EMPTY = ("limits", "startup", "readiness", "liveness")
"""Keys that say something with nothing in them: no limits at all, a probe of the first port."""


def take_pod(
    part: Taking, route: Route, workload: str, selector: Mapping[str, str], into: Imported
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Take a pod's spec apart.

    Arguments:
        selector: labels that mean the workload's pods.
        into: gets the images.

    Returns:
        The component of the workload, and those that live in its pod.
    """
    numbers = part.keys(*route, "containers")
    names = {at: part.peek(*route, "containers", at, "name") for at in numbers}
    main = next((at for at in numbers if names[at] == workload), numbers[0] if numbers else None)
    guests: dict[str, dict[str, Any]] = {}
    if main is None:
        return {}, guests
    place: Route = (*route, "containers", main)
    volumes = _mounted(part, route, place, workload, guests=guests, into=into)
    shared = _security(part, (*route, "securityContext"))
    spec = _container(part, place, volumes, into, workload, shared=shared)
    for at in numbers:
        if at != main:
            called = _called(names[at], workload, into, guests)
            sidecar = _container(part, (*route, "containers", at), volumes, into, called, shared=shared)
            guests[called] = {"intimacy": "ipc", "host": workload, **sidecar}
    for at in part.keys(*route, "initContainers"):
        init: Route = (*route, "initContainers", at)
        if part.peek(*init, "restartPolicy") == "Always":
            part.take(*init, "restartPolicy")
            called = _called(part.peek(*init, "name"), workload, into, guests)
            native = _container(part, init, volumes, into, called, shared=shared)
            guests[called] = {"intimacy": "ipc", "host": workload, "sidecar": "native", **native}
    _take_volumes(part, volumes)
    return {**spec, **_pod_level(part, route, selector, spec)}, guests


def _called(name: Any, workload: str, into: Imported, guests: Mapping[str, Any]) -> str:
    taken = {*into.components, *into.reserved, *guests}
    if isinstance(name, str) and _NAME.fullmatch(name) and name not in taken:
        return name
    return next(free for free in numbered(f"{workload}-{name}") if free not in taken)


def _pod_level(
    part: Taking, route: Route, selector: Mapping[str, str], spec: dict[str, Any]
) -> dict[str, Any]:
    grace = part.take(*route, "terminationGracePeriodSeconds")
    secrets = [
        part.take(*route, "imagePullSecrets", at, "name") for at in part.keys(*route, "imagePullSecrets")
    ]
    group = part.take(*route, "securityContext", "fsGroup")
    security = {**spec.get("security", {}), **({"files-group": group} if group is not None else {})}
    part.take_if((*route, "restartPolicy"), "Always")
    account = part.take(*route, "serviceAccountName")
    part.take_if((*route, "serviceAccount"), account)  # its deprecated name
    return found_values(
        {
            "grace": f"{grace}s" if grace is not None else None,
            "service-account": account,
            "pull-secrets": secrets,
            "security": security,
            "spread": _spread(part, route, selector),
        }
    )


def _spread(part: Taking, route: Route, selector: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for at in part.keys(*route, "topologySpreadConstraints"):
        place: Route = (*route, "topologySpreadConstraints", at)
        over = _TOPOLOGY.get(str(part.peek(*place, "topologyKey")))
        when = _WHEN.get(str(part.peek(*place, "whenUnsatisfiable")))
        selected = part.peek(*place, "labelSelector", "matchLabels")
        if over and when and part.peek(*place, "maxSkew") == 1 and selected == dict(selector):
            part.take(*place)
            found[over] = when
    return found


def _container(
    part: Taking,
    place: Route,
    volumes: Mapping[str, dict[str, Any]],
    into: Imported,
    called: str,
    *,
    shared: Mapping[str, Any],
) -> dict[str, Any]:
    """A container as a component.

    Arguments:
        shared: what the pod says of the security of all its containers.
    """
    part.take(*place, "name")
    image = part.take(*place, "image")
    if image:
        into.images[called] = image
        part.take_if((*place, "imagePullPolicy"), _pull_policy(image))
    ports = _ports(part, place)
    found: dict[str, Any] = {key: part.take(*place, key) for key in ("command", "args")}
    found |= {"ports": ports, "env": _variables(part, place), "env-from": _sources(part, place)}
    found |= taken_amounts(part, *place, "resources")
    for kind in ("startup", "readiness", "liveness"):
        probe = taken_probe(part, (*place, f"{kind}Probe"), ports)
        if probe is not None:
            found[kind] = probe
    found["volumes"] = _mounts(part, place, volumes)
    found["security"] = {**shared, **_security(part, (*place, "securityContext"))}
    kept = {key: value for key, value in found.items() if key in _MEANT_EMPTY}
    return {**found_values(found), **kept}


def _pull_policy(image: Any) -> str:
    """What Kubernetes does without being told."""
    name = str(image).rpartition("/")[2]
    return "Always" if "@" not in name and (":" not in name or name.endswith(":latest")) else "IfNotPresent"


def _ports(part: Taking, place: Route) -> dict[str, int]:
    found: dict[str, int] = {}
    for at in part.keys(*place, "ports"):
        port: Route = (*place, "ports", at)
        number = part.peek(*port, "containerPort")
        if not isinstance(number, int) or not part.take_if((*port, "protocol"), "TCP"):
            continue
        name = part.peek(*port, "name")
        found[port_name(name, number)] = part.take(*port, "containerPort")
        part.take_if((*port, "name"), port_name(name, number))
    return found


def _variables(part: Taking, place: Route) -> dict[str, Any]:
    found: dict[str, Any] = {}
    names = [part.peek(*place, "env", at, "name") for at in part.keys(*place, "env")]
    for at, name in enumerate(names):
        entry: Route = (*place, "env", at)
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name) or name in names[at + 1 :]:
            continue  # of several values of one name the last one counts
        if name.startswith(SET_BY_US):
            part.take(*entry)
            continue
        value = _value(part, entry)
        if value is not None:
            part.take(*entry, "name")
            found[name] = value
    return found


def _value(part: Taking, entry: Route) -> Any:
    """Text, with what would be a placeholder escaped, or a reference."""
    source = part.peek(*entry, "valueFrom")
    if source is None:
        text = part.take(*entry, "value")
        return "" if text is None else re.sub(r"\$(?=\{resources?\b)", "$$$$", str(text))
    for kind, word in _REFERENCES.items():
        reference: Route = (*entry, "valueFrom", kind)
        name = part.peek(*reference, "name")
        if isinstance(name, str) and _NAME.fullmatch(name) and part.take_if((*reference, "optional"), False):
            return {word: part.take(*reference, "name"), "key": part.take(*reference, "key")}
    return None


def _sources(part: Taking, place: Route) -> dict[str, str]:
    found: dict[str, str] = {}
    for at in part.keys(*place, "envFrom"):
        entry: Route = (*place, "envFrom", at)
        for kind, word in _SOURCES.items():
            name = part.peek(*entry, kind, "name")
            plain = not part.peek(*entry, "prefix") and part.take_if((*entry, kind, "optional"), False)
            if isinstance(name, str) and _NAME.fullmatch(name) and plain and name not in found:
                found[part.take(*entry, kind, "name")] = word
    return found


def _security(part: Taking, place: Route) -> dict[str, Any]:
    keys = {
        "non-root": "runAsNonRoot",
        "user": "runAsUser",
        "group": "runAsGroup",
        "read-only-root": "readOnlyRootFilesystem",
        "privilege-escalation": "allowPrivilegeEscalation",
    }
    found = {ours: part.take(*place, theirs) for ours, theirs in keys.items()}
    if str(part.peek(*place, "seccompProfile", "type")) in _SECCOMP:
        found["seccomp"] = _SECCOMP[part.take(*place, "seccompProfile", "type")]
    found["capabilities"] = {
        part.take(*place, "capabilities", what, at): what
        for what in ("add", "drop")
        for at in part.keys(*place, "capabilities", what)
        if isinstance(part.peek(*place, "capabilities", what, at), str)
    }
    return {key: value for key, value in found.items() if value is not None and value != {}}


def _mounted(
    part: Taking,
    route: Route,
    main: Route,
    workload: str,
    *,
    guests: dict[str, dict[str, Any]],
    into: Imported,
) -> dict[str, dict[str, Any]]:
    """The pod's volumes by name, those of a StatefulSet's claims, too.

    Those that hold another component make it a guest and are taken.
    """
    volumes: dict[str, dict[str, Any]] = {}
    for at in part.keys(*route, "volumes"):
        name = part.peek(*route, "volumes", at, "name")
        mounts = [
            one
            for one in part.keys(*main, "volumeMounts")
            if part.peek(*main, "volumeMounts", one, "name") == name
        ]
        place = part.peek(*main, "volumeMounts", mounts[0], "mountPath") if len(mounts) == 1 else None
        volume: Route = (*route, "volumes", at)
        if part.peek(*volume, "image", "reference") and place and _NAME.fullmatch(str(name)):
            into.images[name] = part.take(*volume, "image", "reference")
            part.take_if((*volume, "image", "pullPolicy"), "IfNotPresent")
            guests[name] = {"intimacy": "in-process", "host": workload, "mount": place}
            part.take_if((*main, "volumeMounts", mounts[0], "readOnly"), True)
        elif (init := _copier(part, route, name, place)) is not None:
            into.images[name] = part.take(*route, "initContainers", init, "image")
            guests[name] = _copying(part, (*route, "initContainers", init), main, workload, place)
            part.take(*volume, "emptyDir")
        else:
            if any(part.peek(*volume, *kind) is not None for kind in _VOLUMES):
                volumes[str(name)] = {"route": volume}
            continue
        part.take(*volume, "name")
        for key in ("name", "mountPath"):
            part.take(*main, "volumeMounts", mounts[0], key)
    for at in part.keys("spec", "volumeClaimTemplates"):
        template: Route = ("spec", "volumeClaimTemplates", at)
        volumes[str(part.peek(*template, "metadata", "name"))] = {"route": template}
    return volumes


def _copier(part: Taking, route: Route, name: Any, place: Any) -> int | None:
    """The init container that has a volume's name and fills it at the path where the main one has it."""
    for at in part.keys(*route, "initContainers"):
        init: Route = (*route, "initContainers", at)
        mounts = [part.mapping(*init, "volumeMounts", one) for one in part.keys(*init, "volumeMounts")]
        fills = [(one.get("name"), one.get("mountPath")) for one in mounts] == [(name, place)]
        if part.peek(*init, "name") == name and fills and part.peek(*init, "restartPolicy") is None:
            return int(at)
    return None


def _copying(part: Taking, init: Route, main: Route, workload: str, mount: Any) -> dict[str, Any]:
    part.take(*init, "name")
    part.take(*init, "volumeMounts")
    for at in part.keys(*init, "env"):
        if str(part.peek(*init, "env", at, "name")).startswith(SET_BY_US):
            part.take(*init, "env", at)
    security = part.peek(*main, "securityContext")  # a copier may do what its host may
    part.take_if((*init, "securityContext"), security)
    words = {key: part.take(*init, key) for key in ("command", "args")}
    kind = {"intimacy": "in-process", "host": workload, "attach": "init-container", "mount": mount}
    return {**kind, **found_values(words)}


def _mounts(part: Taking, place: Route, volumes: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What appears in a container, by volume; a volume that appears twice, or in part, is left."""
    found: dict[str, dict[str, Any]] = {}
    for at in part.keys(*place, "volumeMounts"):
        mount: Route = (*place, "volumeMounts", at)
        name = str(part.peek(*mount, "name"))
        if name not in volumes or name in found or part.peek(*mount, "subPath") or not _NAME.fullmatch(name):
            continue
        part.take(*mount, "name")
        found[name] = found_values(
            {"path": part.take(*mount, "mountPath"), "read-only": part.take(*mount, "readOnly")}
        )
        volumes[name].setdefault("used", []).append(found[name])
    return found


def _take_volumes(part: Taking, volumes: Mapping[str, dict[str, Any]]) -> None:
    """What the mounted volumes are; the first component that has one says it."""
    for name, held in volumes.items():
        if not held.get("used"):
            continue
        kind = _volume_kind(part, held["route"])
        if kind is None:
            continue
        part.take_if((*held["route"], "name"), name)
        held["used"][0] |= kind


def take_claim(part: Taking, route: Route = ()) -> dict[str, Any] | None:
    """A claim as persistent storage; None, and nothing taken, if an app spec cannot have it.

    Arguments:
        route: of the claim, or of the template of one.
    """
    access = part.peek(*route, "spec", "accessModes")
    size = part.peek(*route, "spec", "resources", "requests", "storage")
    if not size or not isinstance(access, list) or len(access) != 1 or str(access[0]) not in _ACCESS:
        return None
    for told in (("accessModes",), ("resources", "requests", "storage")):
        part.take(*route, "spec", *told)
    mode, storage_class = _ACCESS[access[0]], part.take(*route, "spec", "storageClassName")
    return found_values({"size": size, "class": storage_class, "access": None if mode == "once" else mode})


def _volume_kind(part: Taking, volume: Route) -> dict[str, Any] | None:
    if persistent := take_claim(part, volume):
        for said in (("apiVersion",), ("kind",), ("metadata", "name")):
            part.take(*volume, *said)
        return {"persistent": persistent}
    claim = part.take(*volume, "persistentVolumeClaim", "claimName")
    if claim:
        return {"claim": claim}
    for ours, kind, key in (("config", "configMap", "name"), ("secret", "secret", "secretName")):
        if part.peek(*volume, kind, key):
            return {ours: part.take(*volume, kind, key)}
    if part.peek(*volume, "emptyDir") is not None:
        medium = part.take_if((*volume, "emptyDir", "medium"), "") or part.peek(*volume, "emptyDir", "medium")
        limit = part.take(*volume, "emptyDir", "sizeLimit")
        memory = medium == "Memory"
        if memory:
            part.take(*volume, "emptyDir", "medium")
        part.take_if((*volume, "emptyDir"), {})
        return {"ephemeral": found_values({"limit": limit, "memory": memory or None})}
    return None
