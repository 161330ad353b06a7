"""Connections to instances, kept open between requests."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from pipegraft.engine.adapters.proxy.config import host_and_port
from pipegraft.engine.adapters.proxy.http_connection import HttpConnection

__all__ = ["Pool"]

_MOST_IDLE = 64
"""Idle connections kept for each address."""


class Pool:
    """Idle connections by address."""

    def __init__(self) -> None:
        self._idle: dict[str, list[HttpConnection]] = {}

    def take(self, address: str) -> HttpConnection | None:
        """An idle connection, the most recently used first; None if there is none."""
        idle = self._idle.get(address, [])
        while idle:
            connection = idle.pop()
            if connection.quiet:
                return connection
            connection.close()
        return None

    async def open(self, address: str, patience: float) -> HttpConnection:
        """A new connection.

        Arguments:
            patience: seconds it may take.

        Raises:
            OSError: the instance refused; TimeoutError, which is one, if it did not answer.
        """
        host, port = host_and_port(address)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(patience):
            _, connection = await loop.create_connection(HttpConnection, host, port)
        return connection

    def give_back(self, address: str, connection: HttpConnection) -> None:
        """Keep a connection for the next request if its last exchange ended well; close it if not."""
        idle = self._idle.setdefault(address, [])
        if connection.start_next_cycle() and len(idle) < _MOST_IDLE:
            idle.append(connection)
        else:
            connection.close()

    def keep_only(self, addresses: Collection[str]) -> None:
        """Close idle connections to every other address."""
        for address in [address for address in self._idle if address not in addresses]:
            for connection in self._idle.pop(address):
                connection.close()
