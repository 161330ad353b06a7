"""A Compose file as an app spec: services that run become components, databases and the like resources.

Source: the Compose Specification (services, interpolation, healthcheck, deploy, merge). A service that others
wait for until it has ended is a job; one of a profile is left out unless the profile is asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pipegraft.appspec.importing.compose_ import ComposeService, compose_services
from pipegraft.appspec.importing.first_files import variables_of
from pipegraft.appspec.importing.survey import FoundComponent, FoundResource, name_from
from pipegraft.appspec.importing.taking import Imported, Taking, amounts, found_values

__all__ = ["import_compose"]

_OF_FILE = ("version", "name", "services")
_READ = ("image", "environment", "command", "entrypoint", "build", "expose", "profiles")
"""Keys that are carried over whole, or say what a service is taken for."""
_OF_RESOURCE = (*_READ, "ports", "restart", "healthcheck", "volumes", "command", "shm_size")
"""What a resource has of its own, or its provider decides."""
_WHY: Mapping[str, str] = {
    "depends_on": "components start in any order and try again",
    "restart": "what ends is started again",
    "develop": "for developers' machines",
    "networks": "components reach one another by name",
    "container_name": "others reach it by the component's name",
    "hostname": "others reach it by the component's name",
    "env_file": "its variables are not read: write them as `env`, secrets as references",
}
"""Key → why nothing of it is in the app spec."""
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_MEMORY = re.compile(r"(\d+)([bkmg]?)b?", re.IGNORECASE)
_UNITS = {"": "", "b": "", "k": "Ki", "m": "Mi", "g": "Gi"}


def import_compose(data: Mapping[str, Any], file: str, profiles: Collection[str], into: Imported) -> None:
    """Take the services of a Compose file apart.

    Arguments:
        data: the file, overrides merged and defaults of variables put in.
        profiles: those that are asked for.
        into: gets components, resources and what is left.
    """
    services = compose_services(data)
    kept = [one for one in services if not one.profiles or set(one.profiles) & set(profiles)]
    into.left += (
        f"{file}: service {one.name}: the whole service (of the profile {', '.join(one.profiles)})"
        for one in services
        if one not in kept
    )
    resources = {
        host: FoundResource(name_from(one.name), one.hosts, one.resource, "", one.params)
        for one in kept
        if one.resource
        for host in one.hosts
    }
    for one in kept:
        part = Taking(data["services"][one.name], f"{file}: service {one.name}")
        if one.resource:
            _take_resource(one, part, into)
        else:
            _take_service(one, part, resources, into)
        into.left += _left(part)
    into.left += _other_names(kept, into)
    rest = Taking({key: value for key, value in data.items() if key not in _OF_FILE}, file)
    into.left += rest.left()


def _take_resource(one: ComposeService, part: Taking, into: Imported) -> None:
    name = name_from(one.name)
    into.sources["resources", name] = [part]
    into.resources[name] = found_values({"type": one.resource, "params": dict(one.params)})
    for key in _OF_RESOURCE:
        part.take(key)


def _take_service(
    one: ComposeService, part: Taking, resources: Mapping[str, FoundResource], into: Imported
) -> None:
    name = name_from(one.name)
    found = FoundComponent(name, one.build or ".", "", one.ports, one.env, one.entrypoint, one.command)
    env, lost = variables_of(into.app, found, resources)
    into.left += (f"{part.name}: {line}" for line in lost)
    into.sources["components", name] = [part]
    if one.image:
        into.images[name] = one.image
    if one.build is not None:
        keys = json.dumps({"path": one.build, **one.build_keys}, default=str)
        into.left.append(f"{part.name}: build: in delivery.yaml, `components: {name}: {keys}`")
    published = _published(one, part)
    for key in _READ:
        part.take(key)
    into.components[name] = {
        "intimacy": "rpc",
        **found_values(
            {
                "command": list(one.entrypoint),
                "args": list(one.command),
                "ports": dict(one.ports),
                "env": env,
                "replicas": _replicas(part),
                **_amounts(part),
                "readiness": None if one.ends else _health(part),
                "security": _security(part),
                "volumes": dict(_ephemeral(part)),
                "grace": _duration(part, "stop_grace_period"),
            }
        ),
        **({"job": {}} if one.ends else {}),
        **({"entrance": {}} if published and not one.ends else {}),
    }


def _published(one: ComposeService, part: Taking) -> bool:
    """Whether requests enter there; entries of which the container's port is all there is are taken."""
    for at in part.keys("ports"):
        entry = part.peek("ports", at)
        if isinstance(entry, (str, int)) and str(entry).removesuffix("/tcp").isdecimal():
            part.take("ports", at)
        elif isinstance(entry, dict):
            part.take("ports", at, "target")
    return one.published and bool(one.ports)


def _replicas(part: Taking) -> int | None:
    for route in (("deploy", "replicas"), ("scale",)):
        if isinstance(part.peek(*route), int):
            count: int = part.take(*route)
            return count
    return None


def _amounts(part: Taking) -> dict[str, Any]:
    """CPU and memory, of `deploy` or of the older keys."""
    wanted: dict[str, dict[str, str]] = {"requests": {}, "limits": {}}
    places: tuple[tuple[str, str, tuple[str, ...]], ...] = (
        ("requests", "cpu", ("deploy", "resources", "reservations", "cpus")),
        ("requests", "memory", ("deploy", "resources", "reservations", "memory")),
        ("requests", "memory", ("mem_reservation",)),
        ("limits", "cpu", ("deploy", "resources", "limits", "cpus")),
        ("limits", "memory", ("deploy", "resources", "limits", "memory")),
        ("limits", "cpu", ("cpus",)),
        ("limits", "memory", ("mem_limit",)),
    )
    for kind, key, route in places:
        value = part.peek(*route)
        amount = _cpu(value) if key == "cpu" else _memory(value)
        if amount and key not in wanted[kind]:
            part.take(*route)
            wanted[kind][key] = amount
    return amounts(wanted["requests"], wanted["limits"])


def _cpu(value: Any) -> str:
    return str(value) if re.fullmatch(r"\d+(\.\d+)?", str(value)) else ""


def _memory(value: Any) -> str:
    """Bytes as Kubernetes writes them: the ``g`` of Compose is its ``Gi``."""
    found = _MEMORY.fullmatch(str(value))
    return f"{found[1]}{_UNITS[found[2].lower()]}" if found else ""


def _health(part: Taking) -> dict[str, Any] | None:
    """The health check as readiness: by both, others learn whether it is ready."""
    route = ("healthcheck",)
    test = part.peek(*route, "test")
    words: list[str] | None = None
    if isinstance(test, str):
        words = ["sh", "-c", test]
    elif isinstance(test, list) and len(test) > 1 and test[0] == "CMD-SHELL":
        words = ["sh", "-c", " ".join(map(str, test[1:]))]
    elif isinstance(test, list) and len(test) > 1 and test[0] == "CMD":
        words = [str(word) for word in test[1:]]
    if words is None:
        return None
    part.take(*route, "test")
    found: dict[str, Any] = {"exec": [word.replace("$$", "$") for word in words]}
    for theirs, ours in (("interval", "period"), ("timeout", "timeout"), ("start_period", "initial-delay")):
        found[ours] = _duration(part, *route, theirs)
    if isinstance(part.peek(*route, "retries"), int):
        found["failures"] = part.take(*route, "retries")
    return found_values(found)


def _duration(part: Taking, *route: str) -> str | None:
    """Whole seconds; what is said to the millisecond is left."""
    value = str(part.peek(*route) or "")
    found = _DURATION.fullmatch(value)
    if not found or not value:
        return None
    part.take(*route)
    hours, minutes, seconds = (int(one or 0) for one in found.groups())
    return f"{hours * 3600 + minutes * 60 + seconds}s"


def _security(part: Taking) -> dict[str, Any]:
    found: dict[str, Any] = {}
    user = re.fullmatch(r"(\d+)(?::(\d+))?", str(part.peek("user") or ""))
    if user:
        part.take("user")
        found["user"] = int(user[1])
        if user[2]:
            found["group"] = int(user[2])
    if isinstance(part.peek("read_only"), bool):
        found["read-only-root"] = part.take("read_only")
    capabilities = {
        str(part.take(f"cap_{what}", at)): what for what in ("add", "drop") for at in part.keys(f"cap_{what}")
    }
    return {**found, **({"capabilities": capabilities} if capabilities else {})}


def _ephemeral(part: Taking) -> Iterator[tuple[str, dict[str, Any]]]:
    """Folders in memory; other volumes are left: a Compose file does not say how large they are."""
    value = part.peek("tmpfs")
    paths = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    if paths and all(re.fullmatch(r"/[^:]*", str(path)) for path in paths):
        part.take("tmpfs")
        for path in paths:
            yield name_from(str(path), "tmp"), {"path": str(path), "ephemeral": {"memory": True}}


def _left(part: Taking) -> Iterator[str]:
    """What is not carried over, with the reason where there is a general one."""
    for key, why in _WHY.items():
        if (value := part.take(key)) is not None:
            shown = f": {value}" if isinstance(value, (str, int)) else ""
            yield f"{part.name}: {key}{shown} ({why})"
    for at in part.keys("ports"):
        yield f"{part.name}: ports[{at}]: {part.take('ports', at)} (the port of the host)"
    for at in part.keys("volumes"):
        yield (
            f"{part.name}: volumes[{at}]: {part.take('volumes', at)} "
            "(write it as `volumes`, with the size it needs)"
        )
    yield from part.left()


def _other_names(services: Collection[ComposeService], into: Imported) -> Iterator[str]:
    """Variables that name a service by another name than the component's."""
    for one in services:
        aliases = [host for host in one.hosts if host != name_from(one.name)] if not one.resource else []
        for name, component in into.components.items():
            for variable, value in component.get("env", {}).items():
                yield from (
                    f"variable '{variable}' of '{name}' names '{alias}': "
                    f"others reach it as '{name_from(one.name)}'"
                    for alias in aliases
                    if isinstance(value, str)
                    and re.search(rf"(?<![\w.-]){re.escape(alias)}(?![\w.-])", value)
                )
