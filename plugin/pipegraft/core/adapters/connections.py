"""The connections that an HTTP client has open, so that another thread can end them.

A thread that still waits for a byte of TLS while the interpreter ends takes the process with it, so whoever
starts threads ends their connections and joins them first.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any

__all__ = ["Connections"]

_OPENED = ("connect_tcp.complete", "start_tls.complete")


class Connections:
    """Every connection that requests with the extension ``trace`` of this object have opened."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.ended = False

    @property
    def extensions(self) -> dict[str, Any]:
        """Extensions of a request, as httpx2 hands them to httpcore2."""
        return {"trace": self._trace}

    def end(self) -> None:
        """Shut every connection down, and each that is opened from now on."""
        with self._lock:
            self.ended = True
            for one in self._open:
                _shut_down(one)
            self._open.clear()

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        """Remember a connection that httpcore2 says it has opened."""
        if not event.endswith(_OPENED):
            return
        connection = info["return_value"].get_extra_info("socket")
        if isinstance(connection, socket.socket):
            with self._lock:
                self._open = {one for one in self._open if one.fileno() >= 0} | {connection}
                if self.ended:
                    _shut_down(connection)


def _shut_down(connection: socket.socket) -> None:
    """The socket below TLS alone: another thread may be inside of TLS."""
    with suppress(OSError):  # it has ended by itself
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
