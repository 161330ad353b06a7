"""Traffic: which share of requests goes to which version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Backend", "FakeRouter", "Route", "TrafficRouter"]


@dataclass(frozen=True, slots=True)
class Backend:
    """One version of a workload behind a route.

    Arguments:
        name: the workload: ``web`` or ``web-gray``.
        addresses: ``host:port`` of each healthy instance.
        weight: share of the route's requests, in parts of the sum over the route's backends.
    """

    name: str
    addresses: tuple[str, ...]
    weight: int


@dataclass(frozen=True, slots=True)
class Route:
    """One entrance.

    Arguments:
        name: the route: application and component.
        listen: ``host:port`` that clients use.
        backends: the versions behind it.
    """

    name: str
    listen: str
    backends: tuple[Backend, ...]


class TrafficRouter(Protocol):
    """Splits traffic by weight."""

    def apply(self, routes: Sequence[Route]) -> None:
        """Make these the only routes; requests under way are not cut."""

    def observe(self) -> Mapping[str, Mapping[str, int]]:
        """Requests served since the start: route → backend → count."""


class FakeRouter:
    """Remembers the routes and counts the requests a test sends, split by weight."""

    def __init__(self) -> None:
        self.routes: tuple[Route, ...] = ()
        self._served: dict[str, dict[str, int]] = {}

    def apply(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)

    def serve(self, name: str) -> None:
        """One request through the route of that name, to the backend furthest behind its weight."""
        route = next(route for route in self.routes if route.name == name)
        counts = self._served.setdefault(name, {})
        wanted = [backend for backend in route.backends if backend.weight > 0]
        chosen = min(wanted, key=lambda backend: counts.get(backend.name, 0) / backend.weight)
        counts[chosen.name] = counts.get(chosen.name, 0) + 1

    def observe(self) -> Mapping[str, Mapping[str, int]]:
        return {route: dict(counts) for route, counts in self._served.items()}
