"""Traffic: which share of requests goes to which version.

A `TrafficRouter` splits them on this machine. One in a cluster is told by the objects that the GitOps engine
applies: it renders an `EntranceSplit`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipegraft.appspec.model import Entrance

__all__ = [
    "Backend",
    "Choice",
    "ClusterRouter",
    "EntranceSplit",
    "FakeRouter",
    "GrayShare",
    "Refusal",
    "Route",
    "TrafficRouter",
    "affinity_values",
    "baseline_value",
    "chosen_headers",
    "cookie_pattern",
    "gray_cookies",
    "set_cookie",
]


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
class Choice:
    """Requests that go to one backend whatever the weights.

    Arguments:
        header: name of the header field that chooses, in any case.
        value: what it must be, or a regular expression (of Python) that the whole value must match.
        backend: name of the backend.
        regex: whether `value` is an expression.
    """

    header: str
    value: str
    backend: str
    regex: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One entrance.

    Arguments:
        name: the route: application and component.
        listen: ``host:port`` that clients use.
        backends: the versions behind it.
        choices: looked at before the weights; the first one that a request meets decides.
    """

    name: str
    listen: str
    backends: tuple[Backend, ...]
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class GrayShare:
    """The new version at an entrance.

    Arguments:
        service: name of its Service.
        port: of the Service.
        weight: percent of the requests.
        release: number of the release.
        baseline: name of the Service of stable's fresh pods, which get the same weight; None without them.
    """

    service: str
    port: int
    weight: int
    release: int
    baseline: str | None = None

    @property
    def rest(self) -> int:
        """Percent of the requests for the pods that serve."""
        return 100 - self.weight * (1 if self.baseline is None else 2)


@dataclass(frozen=True, slots=True)
class EntranceSplit:
    """One entrance as a router in a cluster is to split it.

    Arguments:
        service: name of stable's Service, and of the route.
        namespace: of everything.
        port: of the Service.
        entrance: as declared.
        gray: None while no gray release runs.
    """

    service: str
    namespace: str
    port: int
    entrance: Entrance
    gray: GrayShare | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something an entrance asks of a router that it cannot do.

    Arguments:
        key: of the entrance.
        message: what, and why not.
        fix: what to write instead.
    """

    key: str
    message: str
    fix: str = ""


class ClusterRouter(Protocol):
    """Splits traffic by objects in a cluster; pure."""

    def refusals(self, entrance: Entrance) -> Iterable[Refusal]:
        """What it cannot do of what is asked."""

    def render(self, split: EntranceSplit) -> list[dict[str, Any]]:
        """The Kubernetes objects that make it so, without labels and revision."""


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


def chosen_headers(entrance: Entrance) -> Iterator[tuple[str, str]]:
    """Header fields and values that choose the new version."""
    if entrance.gray_for:
        for name, value in (entrance.gray_for.headers or {}).items():
            if value is not None:
                yield name, value


def gray_cookies(split: EntranceSplit) -> Iterator[tuple[str, str]]:
    """Cookies and values that lead to the new version: of chosen users, and of those who got it before."""
    entrance = split.entrance
    if entrance.gray_for:
        for name, value in (entrance.gray_for.cookies or {}).items():
            if value is not None:
                yield name, value
    if entrance.affinity and split.gray:
        yield entrance.affinity.cookie, affinity_values(split.gray)[1]


def affinity_values(gray: GrayShare) -> tuple[str, str]:
    """What the affinity cookie says of who got stable, and of who got gray.

    Who got stable is drawn anew once the weight rises; another release means nothing to either.
    """
    return f"{gray.release}-{gray.weight}", f"{gray.release}-gray"


def baseline_value(gray: GrayShare) -> str:
    """What the affinity cookie says of who got stable's fresh pods: they stay there, as gray's users do."""
    return f"{gray.release}-baseline"


def set_cookie(entrance: Entrance, value: str) -> str:
    """The header field that keeps a user with a version."""
    assert entrance.affinity is not None  # noqa: S101 - the caller asked for it
    lifetime = int(entrance.affinity.lifetime)
    return f"{entrance.affinity.cookie}={value}; Path=/; Max-Age={lifetime}; HttpOnly; SameSite=Lax"


def cookie_pattern(name: str, value: str) -> str:
    """A regular expression (RE2 and others) that the header field ``Cookie`` matches, whole or in part."""
    return rf"^(.*;\s*)?{re.escape(name)}={re.escape(value)}(\s*;.*)?$"
