"""HTTP whose every open connection can be ended from another thread.

A thread that still waits for a byte of TLS while the interpreter ends takes the process with it, so whoever
starts threads ends their connections and joins them first.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any

import httpx2

__all__ = ["EndableTransport"]

_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", 0x10), 15),  # Darwin calls it TCP_KEEPALIVE, 0x10
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
"""A peer that is gone is noticed within half a minute, however little there is to tell."""
_OPENED = ("connect_tcp.complete", "start_tls.complete")


class EndableTransport(httpx2.HTTPTransport):
    """As its base, from any thread; `end` wakes every thread that waits for an answer.

    Arguments:
        options: of the base; each stream holds a connection, so their number has no limit.
    """

    def __init__(self, **options: Any) -> None:
        limits = httpx2.Limits(max_connections=None)
        super().__init__(retries=1, limits=limits, socket_options=_KEEPALIVE, **options)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._ended = False

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if self._ended:
            raise httpx2.ReadError("the connection was ended", request=request)
        request.extensions["trace"] = self._trace
        return super().handle_request(request)

    def end(self) -> None:
        """Shut every connection down; there are no more requests from now on."""
        with self._lock:
            self._ended = True
            for one in self._open:
                _shut_down(one)
            self._open.clear()

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        """Remember a connection that httpcore says it has opened."""
        if not event.endswith(_OPENED):
            return
        connection = info["return_value"].get_extra_info("socket")
        if isinstance(connection, socket.socket):
            with self._lock:
                self._open = {one for one in self._open if one.fileno() >= 0} | {connection}
                if self._ended:
                    _shut_down(connection)


def _shut_down(connection: socket.socket) -> None:
    """The socket below TLS alone: another thread may be inside of TLS."""
    with suppress(OSError):  # it has ended by itself
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
