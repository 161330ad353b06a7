"""Values of the right form that an app spec refuses: they are left again, and named by their source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipegraft.appspec.importing.consumed_keys import Imported, Taking, leaves, short
from pipegraft.appspec.model.spec import App, AppEnvironment
from pipegraft.core.errors import ConfigError, Place, Problem
from pipegraft.core.faults import read
from pipegraft.core.model import Model

__all__ = ["settle"]

Route = tuple[str | int, ...]
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
