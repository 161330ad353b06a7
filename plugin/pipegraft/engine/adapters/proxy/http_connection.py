"""HTTP/1.1 connections, either end of them: h11 events over asyncio transports, kept open for the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import cast

import h11

from pipegraft.engine.adapters.proxy.config import host_and_port

__all__ = ["Event", "HttpConnection", "Pool"]

Event = (
    h11.Request
    | h11.InformationalResponse
    | h11.Response
    | h11.Data
    | h11.EndOfMessage
    | h11.ConnectionClosed
)

_HIGH_WATER = 256 * 1024
"""Bytes that may wait to be read before the peer is asked, by TCP, to stop sending."""
_MAX_HEAD = 64 * 1024
"""Longest request line, status line or header block."""
_MOST_SILENT_READER = 60.0
"""Seconds a peer may take to read what was written."""


class HttpConnection(asyncio.Protocol):
    """Reads and writes h11 events; slow readers slow down writers in both directions.

    Arguments:
        server: whether the peer is a client, rather than an instance.
        opened: called once it stands.
        lost: called once it is gone, for whatever reason; a peer that closes its sending half counts
            as gone.
    """

    def __init__(
        self,
        *,
        server: bool = False,
        opened: Callable[[HttpConnection], None] | None = None,
        lost: Callable[[HttpConnection], None] | None = None,
    ) -> None:
        self._h11 = h11.Connection(h11.SERVER if server else h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        self._opened = opened
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._unread = 0
        self._reading_paused = False
        self._data: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._withheld = False
        self.closed = False
        """Nothing can be read or written any more."""
        self.last = False
        """The exchange under way is the last one on this connection."""

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._opened:
            self._opened(self)

    def data_received(self, data: bytes) -> None:
        self._h11.receive_data(data)
        self._unread += len(data)
        if self._unread > _HIGH_WATER and not self._reading_paused and self._transport:
            self._reading_paused = True
            self._transport.pause_reading()
        _wake(self._data)

    def eof_received(self) -> None:
        self._h11.receive_data(b"")
        _wake(self._data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - how it ended is h11's to say
        self.closed = True
        _wake(self._data)
        _wake(self._drained)
        if self._lost:
            self._lost(self)

    def pause_writing(self) -> None:
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        _wake(self._drained)
        self._drained = None

    # What the proxy uses

    @property
    def peer(self) -> str:
        """Address of the other side, empty if unknown."""
        name = self._transport.get_extra_info("peername") if self._transport else None
        return str(name[0]) if isinstance(name, tuple) else ""

    @property
    def waits_for_continue(self) -> bool:
        """Whether the client holds back its body until it reads ``100 Continue``."""
        return self._h11.they_are_waiting_for_100_continue

    @property
    def knows_informational(self) -> bool:
        """Whether the peer speaks HTTP/1.1: HTTP/1.0 has no 1xx answers."""
        return self._h11.their_http_version != b"1.0"

    @property
    def waits_for_request(self) -> bool:
        """Whether no request has begun on it since the last one ended."""
        return self._h11.their_state is h11.IDLE

    async def discard(self, silence: float) -> None:
        """Read the rest of a request nobody wants, so that closing does not destroy its answer.

        TCP resets a connection that is closed with data unread, and a reset may overtake the answer
        (RFC 9112 section 9.6).
        """
        try:
            async with asyncio.timeout(silence):
                while self._h11.their_state is h11.SEND_BODY and not self._withheld:
                    await self.next_event(silence)
        except (OSError, h11.RemoteProtocolError):
            return

    def ready(self) -> Event | None:
        """The next thing the peer has said; None if it has to be waited for.

        Raises:
            ConnectionError: the last exchange has not ended.
            h11.RemoteProtocolError: it does not speak HTTP/1.1.
        """
        event = self._h11.next_event()
        if event is h11.NEED_DATA:
            return None
        if event is h11.PAUSED:
            raise ConnectionResetError("the last exchange on this connection has not ended")
        return cast("Event", event)

    async def next_event(self, silence: float) -> Event:
        """The next thing the peer says.

        Arguments:
            silence: seconds the peer may say nothing.

        Raises:
            TimeoutError: it said nothing for so long.
            ConnectionError: it is gone.
            h11.RemoteProtocolError: it does not speak HTTP/1.1.
        """
        while (event := self.ready()) is None:
            await self._receive(silence)
        return event

    async def _receive(self, silence: float) -> None:
        if self.closed or self._transport is None:
            raise ConnectionResetError("the peer is gone")
        self._unread = 0
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        self._data = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(silence):
                await self._data
        finally:
            self._data = None

    async def send(self, *events: Event) -> None:
        """Write events; returns once the peer has read most of what was written before.

        Raises:
            ConnectionError: it is gone, or has not read for too long.
            h11.LocalProtocolError: the events are out of order.
        """
        if self.waits_for_continue and any(isinstance(event, h11.Response) for event in events):
            self._withheld = True  # the client will not send its body any more, or will without an end
        written = b"".join([self._h11.send(event) or b"" for event in events])
        if self.closed or self._transport is None:
            raise ConnectionResetError("the peer is gone")
        if written:
            self._transport.write(written)
        if self._drained is not None:
            await self._wait_until_drained(self._drained)

    async def _wait_until_drained(self, drained: asyncio.Future[None]) -> None:
        try:
            async with asyncio.timeout(_MOST_SILENT_READER):
                await drained
        except TimeoutError:
            self.abort()
            raise ConnectionResetError("the peer does not read") from None
        if self.closed:
            raise ConnectionResetError("the peer is gone")

    def start_next_cycle(self) -> bool:
        """Make it ready for another request; False if it has to be closed instead."""
        if self.closed or self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return True

    @property
    def quiet(self) -> bool:
        """Whether it is open and nothing was received since the last exchange."""
        return not self.closed and self._h11.trailing_data == (b"", False)

    def close(self) -> None:
        """Close after what was written has gone out."""
        if self._transport:
            self._transport.close()

    def abort(self) -> None:
        """Close now, so that the peer sees an answer cut short as cut short."""
        self.closed = True
        if self._transport:
            self._transport.abort()


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


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
