"""Accepts connections at one address and hands over the requests of each in turn."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress

import h11

from pipegraft.engine.adapters.proxy.config import host_and_port
from pipegraft.engine.adapters.proxy.forward import respond
from pipegraft.engine.adapters.proxy.http_connection import HttpConnection

__all__ = ["Listener"]

_UNREAD_BODY = 2.0
"""Seconds to read what a client still sends after its answer."""


class Listener:
    """One listening socket.

    Arguments:
        handle: answers one request.
        client_timeout: seconds a client may be silent; asked before each wait.
    """

    def __init__(
        self,
        handle: Callable[[HttpConnection, h11.Request], Awaitable[None]],
        client_timeout: Callable[[], float],
    ) -> None:
        self._handle = handle
        self._client_timeout = client_timeout
        self._server: asyncio.Server | None = None
        self._tasks: dict[HttpConnection, asyncio.Task[None]] = {}

    async def open(self, address: str) -> None:
        """Start to accept.

        Raises:
            OSError: the address cannot be had.
        """
        host, port = host_and_port(address)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._connection, host, port, backlog=1024)
        except OSError as error:
            raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from None

    @property
    def address(self) -> str:
        """``host:port`` as opened."""
        if self._server is None or not self._server.sockets:
            return ""
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def drain(self) -> set[asyncio.Task[None]]:
        """Accept nothing more, close idle connections, and let the others end with their exchange.

        Returns:
            The connections that are still at work.
        """
        if self._server is not None:
            self._server.close()
        for client in self._tasks:
            client.last = True
            if client.waits_for_request:
                client.close()
        return set(self._tasks.values())

    def _connection(self) -> HttpConnection:
        return HttpConnection(server=True, opened=self._accept, lost=self._lost)

    def _accept(self, client: HttpConnection) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(client))
        task.add_done_callback(_report)
        self._tasks[client] = task

    def _lost(self, client: HttpConnection) -> None:
        if client in self._tasks:
            self._tasks[client].cancel()

    async def _serve(self, client: HttpConnection) -> None:
        try:
            while isinstance(event := await client.next_event(self._client_timeout()), h11.Request):
                await self._handle(client, event)
                await client.discard(_UNREAD_BODY)
                if client.last or not client.start_next_cycle():
                    return
        except h11.RemoteProtocolError as error:
            with suppress(OSError, h11.LocalProtocolError):  # too late for an answer
                await respond(client, error.error_status_hint)
        except OSError:
            return  # the client is gone, or was silent for too long
        finally:
            client.close()
            del self._tasks[client]


def _report(task: asyncio.Task[None]) -> None:
    """Say on standard error what nobody else will: a defect must not pass unseen."""
    if not task.cancelled() and (error := task.exception()):
        traceback.print_exception(error, file=sys.stderr)
