"""What a Kubernetes container and a Score container have in common: amounts, probes, variables, ports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipegraft.appspec.importing.consumed_keys import Taking

__all__ = ["amounts", "port_name", "taken_amounts", "taken_probe"]

_CPU = re.compile(r"\d+(\.\d+)?m?")
_MEMORY = re.compile(r"\d+(\.\d+)?([kMGTP]|[KMGTP]i)?")
_PORT = re.compile(r"[a-z]([a-z0-9-]{0,13}[a-z0-9])?")
_QUESTIONS = ("httpGet", "tcpSocket", "grpc", "exec")
_SECONDS = {"initialDelaySeconds": "initial-delay", "periodSeconds": "period", "timeoutSeconds": "timeout"}


def taken_amounts(part: Taking, *route: str | int) -> dict[str, Any]:
    """`cpu`, `memory` and `limits` from requests and limits; amounts of another form are left."""
    requests = _amounts(part, *route, "requests")
    limits = _amounts(part, *route, "limits")
    return amounts(requests, limits)


def amounts(requests: Mapping[str, str], limits: Mapping[str, str]) -> dict[str, Any]:
    """What an app spec says of requests and limits. A limit alone is a request, too (Kubernetes, core/v1)."""
    kept = {**limits, **requests}
    found: dict[str, Any] = {key: kept[key] for key in ("cpu", "memory") if key in kept}
    if kept != dict(limits):
        found["limits"] = dict(limits)
    return found


def _amounts(part: Taking, *route: str | int) -> dict[str, str]:
    found = {}
    for key, pattern in (("cpu", _CPU), ("memory", _MEMORY)):
        value = part.peek(*route, key)
        if isinstance(value, (str, int, float)) and pattern.fullmatch(str(value)):
            found[key] = str(part.take(*route, key))
    return found


def taken_probe(
    part: Taking, route: tuple[str | int, ...], ports: Mapping[str, int]
) -> dict[str, Any] | None:
    """A probe; None, and nothing taken, if an app spec cannot have it.

    Arguments:
        ports: of the container, by name.
    """
    kind = next((one for one in _QUESTIONS if part.peek(*route, one) is not None), None)
    if kind is None:
        return None
    found = _command(part, route) if kind == "exec" else _question(part, route, kind, ports)
    if found is None:
        return None
    for key, name in _SECONDS.items():
        value = part.peek(*route, key)
        if isinstance(value, int) and value >= (0 if key == "initialDelaySeconds" else 1):
            found[name] = f"{part.take(*route, key)}s"
    if isinstance(part.peek(*route, "failureThreshold"), int):
        found["failures"] = part.take(*route, "failureThreshold")
    return found


def _command(part: Taking, route: tuple[str | int, ...]) -> dict[str, Any] | None:
    command = part.peek(*route, "exec", "command")
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        return None
    return {"exec": part.take(*route, "exec", "command")}


def _question(
    part: Taking, route: tuple[str | int, ...], kind: str, ports: Mapping[str, int]
) -> dict[str, Any] | None:
    """What is asked of a port: a path, the health protocol of gRPC, or only a connection."""
    scheme = part.peek(*route, "httpGet", "scheme")
    port = _port(part.peek(*route, kind, "port"), ports)
    if port is None or scheme not in (None, "HTTP") or part.peek(*route, kind, "host"):
        return None
    found: dict[str, Any] = {}
    part.take(*route, kind, "port")
    if kind == "httpGet":
        part.take(*route, kind, "scheme")
        found["path"] = part.take(*route, kind, "path") or "/"
    elif kind == "grpc":
        found["grpc"] = part.take(*route, kind, "service") or ""
    if port != next(iter(ports)):
        found["port"] = port
    return found


def _port(value: Any, ports: Mapping[str, int]) -> str | None:
    if isinstance(value, str) and value in ports:
        return value
    return next((name for name, number in ports.items() if str(number) == str(value)), None)


def port_name(name: Any, number: int) -> str:
    """A name that a port may have."""
    return name if isinstance(name, str) and _PORT.fullmatch(name) else f"port-{number}"
