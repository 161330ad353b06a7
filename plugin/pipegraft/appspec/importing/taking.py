"""Data that is taken apart: what was not taken can be told, so that nothing is lost silently.

Values of the right form that an app spec refuses are left again, and named by their source. Amounts, probes
and ports are taken alike from containers of Kubernetes and of Score.
"""

from __future__ import annotations

import copy
import itertools
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipegraft.appspec.model import App, AppEnvironment
from pipegraft.core.errors import ConfigError, Place, Problem
from pipegraft.core.faults import read
from pipegraft.core.model import Model

__all__ = [
    "Imported",
    "Route",
    "Taking",
    "amounts",
    "dotted_route",
    "found_values",
    "is_outside",
    "leaves",
    "name_from",
    "numbered",
    "port_name",
    "settle",
    "short",
    "taken_amounts",
    "taken_probe",
    "tells_secret",
]


Route = tuple[str | int, ...]
_LONGEST = 80
_SECRET = re.compile(r"passw|token|(api|access)_?key|://[^/\s:@]*:[^/\s@]+@", re.IGNORECASE)
"""In the name of a value, or in a value, that must not be told."""
_REMOTE = re.compile(r"\w+://|[\w.-]+@[\w.-]+:|github\.com/")
"""How an address begins that Compose fetches a context from (moby/buildkit, util/gitutil)."""
_MEANT_EMPTY = ("emptyDir", "selector", "labelSelector", "namespaceSelector", "podSelector")
"""Keys whose empty value says something in Kubernetes: a volume, or all of something."""


class Taking:
    """A document or a part of one, of which values are taken out.

    Arguments:
        data: any YAML value; not changed.
        name: where it is from, for people.
        secret: whether its values must not be told.
    """

    def __init__(self, data: Any, name: str, *, secret: bool = False) -> None:
        self._root = [_unshared(data)]
        self._secret = secret
        self._taken: list[tuple[str, Any]] = []
        self._empty = {
            route
            for route, value in leaves(self._root[0], "")
            if value in ({}, []) and route.rpartition(".")[2] in _MEANT_EMPTY
        }
        self.name = name

    def peek(self, *route: str | int) -> Any:
        """The value at a route without taking it; None if there is none."""
        value = self._root[0]
        for step in route:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def mapping(self, *route: str | int) -> dict[Any, Any]:
        """A copy of the mapping at a route, without taking it; empty if there is none, or something else."""
        value = self.peek(*route)
        return dict(value) if isinstance(value, Mapping) else {}

    def take(self, *route: str | int) -> Any:
        """The value at a route, which counts as carried over; None if there is none.

        Items that are taken from a list leave None behind, so that the others keep their number.
        """
        value = self.peek(*route)
        if value is None:
            return None
        self._taken.append((dotted_route(route), copy.deepcopy(value)))
        if not route:
            self._root[0] = None
            return value
        holder, last = self.peek(*route[:-1]), route[-1]
        if isinstance(holder, list) and isinstance(last, int):
            holder[last] = None
        else:
            del holder[last]
        return value

    def take_if(self, route: tuple[str | int, ...], *expected: Any) -> bool:
        """Take the value at a route if it is one of these, or absent."""
        value = self.peek(*route)
        if value is None or value in expected:
            self.take(*route)
            return True
        return False

    def keys(self, *route: str | int) -> list[Any]:
        """Keys of a mapping, or numbers of a list, that are left at a route."""
        value = self.peek(*route)
        if isinstance(value, Mapping):
            return list(value)
        return [at for at, item in enumerate(value) if item is not None] if isinstance(value, list) else []

    def untouched(self) -> bool:
        """Whether nothing was taken at all."""
        return not self._taken

    def routes(self) -> Iterator[tuple[Route, Any]]:
        """Route and value of everything that is left and has no parts."""
        yield from _leaves(self._root[0], ())

    def taken(self) -> Iterator[tuple[str, Any]]:
        """Route and value of everything that was taken."""
        for route, value in self._taken:
            yield from leaves(value, route)

    def left(self) -> Iterator[str]:
        """One line for each value that was not taken."""
        for route, value in leaves(self._root[0], ""):
            if value in ({}, []) and route not in self._empty:
                continue  # nothing is in it, or nothing any more
            hidden = self._secret or tells_secret(f"{route} {value}")
            yield f"{self.name}: {route}" if hidden else f"{self.name}: {route}: {short(value)}"


def _unshared(value: Any) -> Any:
    """A copy in which the places of an alias are values of their own: taking one leaves the others."""
    if isinstance(value, Mapping):
        return {key: _unshared(part) for key, part in value.items()}
    return [_unshared(part) for part in value] if isinstance(value, list) else value


def dotted_route(route: Iterable[str | int]) -> str:
    """A route as people write it: ``spec.ports[0].name``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in route).removeprefix(".")


def tells_secret(text: str) -> bool:
    """Whether a name or a value looks as if it must not be told."""
    return _SECRET.search(text) is not None


def is_outside(place: str) -> bool:
    """Whether a path leads out of the repository, or is an address."""
    return bool(_REMOTE.match(place)) or posixpath.normpath(place).startswith(("..", "/"))


def short(value: Any) -> str:
    """A value in one line for people."""
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def leaves(value: Any, route: str) -> Iterator[tuple[str, Any]]:
    """Dotted route and value of everything that has no parts; of empty collections, too."""
    for below, leaf in _leaves(value, ()):
        dotted = dotted_route(below)
        yield route + dotted if dotted.startswith("[") else f"{route}.{dotted}".strip("."), leaf


def _leaves(value: Any, route: Route) -> Iterator[tuple[Route, Any]]:
    if value and isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(part, (*route, key))
    elif value and isinstance(value, list):
        for at, part in enumerate(value):
            yield from _leaves(part, (*route, at))
    elif value is not None:
        yield route, value


class Imported:
    """An app spec in the making.

    Arguments:
        app: its name.
    """

    def __init__(self, app: str) -> None:
        self.app = app
        self.components: dict[str, dict[str, Any]] = {}
        self.resources: dict[str, dict[str, Any]] = {}
        self.images: dict[str, str] = {}
        self.namespace: str | None = None
        self.reserved: frozenset[str] = frozenset()
        """Names of workloads, which nothing else may get."""
        self.left: list[str] = []
        self.sources: dict[tuple[str, str], list[Taking]] = {}
        """What a part of the app spec is from, by `components` or `resources` and its name."""

    def app_file(self) -> dict[str, Any]:
        """``app.yaml`` as data."""
        resources = {"resources": self.resources} if self.resources else {}
        return {"app": self.app, "components": self.components, **resources}

    def environment_file(self) -> dict[str, Any]:
        """The environment as data: what is different in each, the images above all."""
        namespace = {"namespace": self.namespace} if self.namespace else {}
        return {**namespace, "components": {name: {"image": image} for name, image in self.images.items()}}


def found_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what was not found."""
    return {key: value for key, value in values.items() if value not in (None, [], {})}


_WHOLE = ("startup", "readiness", "liveness", "autoscaling", "disruption", "entrance")
"""Keys of a component whose values mean something else when one is missing."""


def settle(into: Imported) -> None:
    """Leave what an app spec refuses.

    Arguments:
        into: everything imported; gets what is left.

    Raises:
        ConfigError: a component cannot be without what is refused; the place names the source.
    """
    _settle(App, into.app_file(), into)
    there = into.environment_file()
    _settle(AppEnvironment, there, into)
    into.namespace = there.get("namespace")
    into.images = {name: one["image"] for name, one in there["components"].items() if "image" in one}


def _settle(model: type[Model], data: dict[str, Any], into: Imported) -> None:
    while (refused := _refused(model, data)) is not None:
        route, message = refused
        sources = into.sources.get((str(route[0]), str(route[1])), []) if len(route) > 1 else []
        if route == ("namespace",):
            sources = [one for several in into.sources.values() for one in several[:1]][:1]
        elif len(route) < (2 if route[:1] == ("resources",) else 3) or route[2:3] == ("job",):
            place = Place(sources[0].name) if sources else None
            fix = "give another --app" if route == ("app",) else "change it there, or leave that object out"
            raise ConfigError([Problem(f"an app spec cannot have this: {message}", place, fix)])
        if route[2:3] and route[2] in _WHOLE:
            route = route[:3]
        for source, value in _origins(route, _take(data, route), sources):
            into.left.append(f"{source}: {short(value)} ({message})")


def _refused(model: type[Model], data: dict[str, Any]) -> tuple[Route, str] | None:
    """The first value that is refused, and why."""
    fault = next(iter(read(model, data).faults), None)
    return fault and (fault.route, f"'{'.'.join(map(str, fault.route))}': {fault.message}")


def _take(data: Any, route: Route) -> Any:
    for step in route[:-1]:
        data = data[step]
    return data.pop(route[-1])


def _origins(route: Route, value: Any, sources: list[Taking]) -> Iterator[tuple[str, Any]]:
    """Where each part of a value is from; by its place in the app spec where that cannot be told."""
    dotted = ".".join(map(str, route))
    for inner, leaf in leaves(value, dotted):
        words = [word.lower() for word in inner.split(".")[2:]]
        ranked: dict[int, list[str]] = {}
        for source in sources:
            for origin, taken in source.taken():
                if str(leaf) in (str(taken), f"{taken}s"):
                    rank = sum(word in origin.lower() for word in words)
                    ranked.setdefault(rank, []).append(f"{source.name}: {origin}")
        known = " or ".join(ranked[max(ranked)]) if ranked else ""
        yield known or (f"{sources[0].name}: {inner}" if sources else inner), leaf


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


def name_from(text: str, fallback: str = "app") -> str:
    """A name as Pipegraft wants it, as close to a text as that goes."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return re.sub(r"^[0-9-]+", "", name)[:40].strip("-") or fallback


def numbered(name: str) -> Iterator[str]:
    """A name, and further ones in case that it is taken."""
    yield name
    yield from (f"{name}-{number}" for number in itertools.count(2))
