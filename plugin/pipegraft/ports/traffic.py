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
    """Remembers the routes and counts what a test says was served."""

    def __init__(self) -> None:
        self.routes: tuple[Route, ...] = ()
        self.served: dict[str, dict[str, int]] = {}

    def apply(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)

    def observe(self) -> Mapping[str, Mapping[str, int]]:
        return self.served
