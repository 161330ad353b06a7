"""Opens what a delivery names, when something first needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

from pipegraft.core.hooks import OPENERS
from pipegraft.core.project import Project
from pipegraft.core.stage import Port

__all__ = ["LiveConnections"]

P = ParamSpec("P")
T = TypeVar("T")


class LiveConnections:
    """`Connections` to the real world, by what the rooms and plugins registered; each is opened once.

    Arguments:
        project: whose delivery says where everything is.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._opened: dict[tuple[Any, ...], Any] = {}

    def open(self, port: Port[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        key = (port.name, args, tuple(sorted(kwargs.items())))
        if key not in self._opened:
            opener = self._project.plugins.get(OPENERS, port.name)
            self._opened[key] = opener.open(self._project, *args, **kwargs)
        found: T = self._opened[key]
        return found

    def calls(self, hook: str, **arguments: object) -> Iterator[tuple[str, Callable[[], Any]]]:
        return self._project.plugins.calls(hook, **arguments)
