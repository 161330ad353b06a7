"""A Score workload (score.dev/v1b1) as part of an app spec. Resources and placeholders mean the same there.

The first container is an rpc component of the workload's name, the others are ipc components in its pod.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from pipegraft.appspec.importing.taking import (
    Imported,
    Taking,
    found_values,
    port_name,
    taken_amounts,
    taken_probe,
)
from pipegraft.core.errors import ConfigError, Place, Problem

__all__ = ["import_score"]

_VERSION = "score.dev/v1b1"
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_ID = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDER = re.compile(r"\$(\$|\{[^}]*\})")


def import_score(data: Any, file: str, into: Imported) -> None:
    """Take a workload apart.

    Arguments:
        data: the file's content.
        into: gets components, resources and what is left.

    Raises:
        ConfigError: it is no Score workload of this version, or its name is taken.
    """
    score = Taking(data, file)
    version = score.take("apiVersion") if isinstance(data, dict) else None
    name = score.take("metadata", "name")
    containers = score.keys("containers")
    if version != _VERSION or not isinstance(name, str) or not containers:
        what = f"expected a Score workload, apiVersion {_VERSION}, with a name and containers"
        raise ConfigError([Problem(what, Place(file))])
    if name in into.components or not _NAME.fullmatch(name):
        what = f"expected a name of its own that starts with a letter, found '{name}'"
        raise ConfigError([Problem(what, Place(file))])
    services = _services(data)
    volumes = _resources(score, services, into)
    ports = _ports(score)
    names = {"metadata.name": name, **{f"resources.{one}.name": one for one in services}}
    for at, container in enumerate(containers):
        main = at == 0
        called = name if main else container if container not in into.components else f"{name}-{container}"
        part = _container(
            score,
            ("containers", container),
            names,
            ports=ports if main else {},
            volumes=volumes,
            into=into,
            called=called,
        )
        place = {"intimacy": "rpc", "ports": ports} if main else {"intimacy": "ipc", "host": name}
        annotations = _annotations(score) if main else {}
        values = found_values({**place, **part, "annotations": annotations})
        into.sources["components", called] = [score]
        into.components[called] = {**values, **_limits(part), **(_entrance(score, ports) if main else {})}
    into.left += score.left()


def _limits(part: Mapping[str, Any]) -> dict[str, Any]:
    """No limits at all are a statement, too."""
    return {"limits": part["limits"]} if "limits" in part else {}


def _annotations(score: Taking) -> dict[str, str]:
    return score.take("metadata", "annotations") or {}


def _ports(score: Taking) -> dict[str, int]:
    """What the workload listens on; a service's port that differs from it is left."""
    found: dict[str, int] = {}
    for name in score.keys("service", "ports"):
        route = ("service", "ports", name)
        if not score.take_if((*route, "protocol"), "TCP"):
            continue
        target, port = score.peek(*route, "targetPort"), score.peek(*route, "port")
        number = target or port
        if isinstance(number, int):
            score.take(*route, "targetPort" if target else "port")
            score.take_if((*route, "port"), number)
            found[port_name(name, number)] = number
            if port_name(name, number) != name:
                score.peek("service", "ports")[name]["renamed-to"] = port_name(name, number)
    return found


def _services(data: Any) -> frozenset[str]:
    """Other workloads, of which nothing is asked but the name, which they have in the app spec, too.

    Source: the type `service` of the provisioners that come with score-compose and score-k8s.
    """
    asked = set(re.findall(r"(?<!\$)\$\{resources\.([^.}]+)(?!\.name\})", str(data)))
    declared = Taking(data, "").mapping("resources")
    return frozenset(
        name
        for name, one in declared.items()
        if Taking(one, "").peek("type") == "service" and name not in asked and not Taking(one, "").peek("id")
    )


def _entrance(score: Taking, ports: Mapping[str, int]) -> dict[str, Any]:
    """The first route to a port of the workload; a host that somebody else chooses is left."""
    for name in score.keys("resources"):
        route = ("resources", name, "params")
        if score.peek("resources", name, "type") != "route" or score.peek("resources", name, "class"):
            continue
        port = next(
            (one for one, number in ports.items() if score.peek(*route, "port") in (one, number)), None
        )
        if port is None:
            continue
        for key in (("type",), ("params", "port")):
            score.take("resources", name, *key)
        path, host = score.take(*route, "path"), str(score.peek(*route, "host") or "")
        hosts = [score.take(*route, "host")] if host and "$" not in host else None
        named = port if port != next(iter(ports)) else None
        entrance = {"port": named, "hosts": hosts, "path": None if path == "/" else path}
        return {"entrance": found_values(entrance)}
    return {}


def _resources(score: Taking, services: Collection[str], into: Imported) -> dict[str, dict[str, Any]]:
    """Resources; those of type volume are volumes of the pod, with what they say."""
    volumes: dict[str, dict[str, Any]] = {}
    asked, routes = str(score.peek("containers")), str(score.peek("resources"))
    for name in score.keys("resources"):
        route = ("resources", name)
        kind = score.peek(*route, "type")
        if name in services:
            score.take(*route, "type")
            continue
        output = f"${{resources.{name}."
        if kind == "route" or (kind == "dns" and output in routes and output not in asked):
            continue
        if kind == "volume":
            volumes[name] = {"size": score.peek(*route, "params", "size")}
            continue
        identity, of_class = score.peek(*route, "id"), score.peek(*route, "class")
        good = _NAME.fullmatch(name) and _NAME.fullmatch(str(kind)) and _ID.fullmatch(str(identity or "x"))
        if not good or not _NAME.fullmatch(str(of_class or "x")) or name in into.resources:
            continue
        taken = {key: score.take(*route, key) for key in ("type", "class", "id", "params")}
        into.sources["resources", name] = [score]
        into.resources[name] = found_values(taken)
    return volumes


def _container(
    score: Taking,
    route: tuple[str, ...],
    names: Mapping[str, str],
    *,
    ports: Mapping[str, int],
    volumes: Mapping[str, Mapping[str, Any]],
    into: Imported,
    called: str,
) -> dict[str, Any]:
    image = score.take(*route, "image")
    if isinstance(image, str) and image != ".":  # a dot: whoever deploys says which
        into.images[called] = image
    found: dict[str, Any] = {
        key: [_text(str(word), names) for word in score.take(*route, key) or ()]
        for key in ("command", "args")
    }
    found["env"] = {
        key: _text(str(score.take(*route, "variables", key)), names)
        for key in score.keys(*route, "variables")
        if isinstance(key, str) and _VARIABLE.fullmatch(key) and not key.startswith("PIPEGRAFT_")
    }
    found |= taken_amounts(score, *route, "resources")
    for kind, name in (("readinessProbe", "readiness"), ("livenessProbe", "liveness")):
        probe = taken_probe(score, (*route, kind), ports)
        if probe is not None:
            found[name] = probe
    found["volumes"] = _volumes(score, route, volumes)
    return found


def _volumes(
    score: Taking, route: tuple[str, ...], volumes: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Volumes whose resource says how large they are; mapped by path, or listed with a target."""
    found: dict[str, dict[str, Any]] = {}
    for key in score.keys(*route, "volumes"):
        place = (*route, "volumes", key)
        source = re.fullmatch(r"\$\{resources\.([^.}]+)\}", str(score.peek(*place, "source")))
        target = key if isinstance(key, str) else score.peek(*place, "target")
        size = volumes.get(source[1], {}).get("size") if source else None
        if source is None or not size or not str(target).startswith("/") or score.peek(*place, "path"):
            continue
        name = source[1]
        score.take(*place, "source")
        score.take(*place, "target")
        for part in ("type", "params"):
            score.take("resources", name, part)
        read_only = score.take(*place, "readOnly")
        found[name] = found_values(
            {"path": str(target), "read-only": read_only, "persistent": {"size": str(size)}}
        )
    return found


def _text(text: str, names: Mapping[str, str]) -> str:
    """Placeholders: names of workloads are filled in, escapes of other things undone."""

    def put(found: re.Match[str]) -> str:
        if found[0][2:-1] in names:
            return names[found[0][2:-1]]
        if found[0] == "$$":
            return "$$" if text.startswith("{resource", found.end()) else "$"
        return found[0]

    return _PLACEHOLDER.sub(put, text)
