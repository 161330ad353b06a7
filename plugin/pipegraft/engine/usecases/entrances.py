"""Where routes listen that leave it open: a free port, kept over restarts."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path

from pipegraft.core.adapters.files import write_atomically

__all__ = ["Entrances"]


class Entrances:
    """Ports given to routes.

    Arguments:
        file: keeps them; its folder must exist.
        free_port: answers a port nobody listens on, other than those it is given.
    """

    def __init__(self, file: Path, free_port: Callable[[Collection[int]], int]) -> None:
        self._file = file
        self._free_port = free_port
        self._ports: dict[str, int] = json.loads(file.read_bytes()) if file.exists() else {}

    def address(self, route: str) -> str:
        """``host:port`` of a route, the same for ever."""
        if route not in self._ports:
            ports = {**self._ports, route: self._free_port(set(self._ports.values()))}
            write_atomically(self._file, json.dumps(ports, indent=1).encode())
            self._ports = ports
        return f"127.0.0.1:{self._ports[route]}"
