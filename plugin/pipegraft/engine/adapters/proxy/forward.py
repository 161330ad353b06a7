"""One request, carried from a client to an instance, and its answer back: what crosses, and what is added."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from http import HTTPStatus

import h11

from pipegraft.engine.adapters.proxy.config import ProxyConfig
from pipegraft.engine.adapters.proxy.http_connection import Event, HttpConnection, Pool

__all__ = ["CLIENT_GONE", "Exchange", "respond"]

CLIENT_GONE = 499
"""The client went away before its answer was complete; the code is nginx's, it is never sent."""

_REPEATABLE = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))
"""RFC 9110, 9.2.1 and 9.2.2: safe methods; a proxy may repeat them by itself."""

_REASONS = {
    400: b"the request is not valid HTTP/1.1",
    408: b"the request did not arrive in time",
    501: b"the method or transfer encoding is not supported",
    502: b"no instance gave a valid answer",
    503: b"no instance is ready",
    504: b"the instance did not answer in time",
}


class Exchange:
    """Carries one request.

    Arguments:
        client: where it comes from.
        request: its head.
        addresses: instances in the order they are tried. The next one is tried only if nothing was sent
            to the one before; or if a connection kept open turns out to be closed, and repeating the
            request is safe.
    """

    def __init__(
        self,
        client: HttpConnection,
        request: h11.Request,
        addresses: Sequence[str],
        pool: Pool,
        config: ProxyConfig,
    ) -> None:
        self._client = client
        self._request = request
        self._addresses = addresses
        self._pool = pool
        self._config = config
        self._has_body = _has_body(request)
        self._repeatable = request.method in _REPEATABLE and not self._has_body
        self._client_fault = 0
        self._status = 0
        self._answered = False
        self.code = CLIENT_GONE
        """Status the exchange counts as; `CLIENT_GONE` until there is another one."""

    async def run(self) -> None:
        """Carry it; whatever goes wrong ends in an answer or in a closed connection, and in `code`.

        Raises:
            ConnectionError: the client is gone.
        """
        if not self._has_body:
            await self._client.next_event(self._config.client_timeout)  # the end of the request: it is here
        for address, idle in self._connections():
            try:
                upstream = idle or await self._pool.open(address, self._config.connect_timeout)
            except OSError:
                continue
            try:
                if await self._over(upstream, address, may_repeat=idle is not None):
                    return
            finally:
                self._pool.give_back(address, upstream)
        await self._fail(502 if self._addresses else 503)

    def _connections(self) -> Iterator[tuple[str, HttpConnection | None]]:
        """Addresses to try, with a connection that stands already if one may be used.

        Only requests that may be repeated use one: its server may be closing it at this moment.
        """
        for address in self._addresses:
            while self._repeatable and (idle := self._pool.take(address)):
                yield address, idle
            yield address, None

    async def _over(self, upstream: HttpConnection, address: str, *, may_repeat: bool) -> bool:
        """Carry it over one connection; False if it may be tried over another one."""
        pump: asyncio.Task[None] | None = None
        try:
            if self._has_body:
                await upstream.send(self._head(address))
                pump = asyncio.create_task(self._pump(upstream))
            else:
                await upstream.send(self._head(address), h11.EndOfMessage())
            await self._answer(upstream)
        except (OSError, h11.RemoteProtocolError) as error:
            upstream.abort()
            if self._client.closed:
                raise ConnectionResetError("the client is gone") from None
            if may_repeat and not self._status and isinstance(error, ConnectionError):
                return False
            await self._fail(self._client_fault or (504 if isinstance(error, TimeoutError) else 502))
        finally:
            if pump is not None:
                await _stop(pump)
        return True

    def _head(self, address: str) -> h11.Request:
        return h11.Request(
            method=self._request.method,
            target=_plain_target(self._request.target),
            headers=_request_fields(self._request, self._client.peer, address),
        )

    async def _pump(self, upstream: HttpConnection) -> None:
        """Carry the body of the request."""
        try:
            while True:
                event = await self._client.next_event(self._config.client_timeout)
                await upstream.send(event)
                if type(event) is h11.EndOfMessage:
                    return
        except TimeoutError:
            self._client_fault = 408
            upstream.abort()
        except h11.RemoteProtocolError:
            self._client_fault = 400
            upstream.abort()
        except (ConnectionError, h11.LocalProtocolError):
            return  # the instance stopped reading: its answer, or the lack of one, decides

    async def _answer(self, upstream: HttpConnection) -> None:
        """Carry the answer as it comes.

        Raises:
            TimeoutError: the instance is silent.
            ConnectionError, h11.RemoteProtocolError: it broke off or does not speak HTTP; or the client
                is gone.
        """
        out: list[Event] = []
        while True:
            event = upstream.ready()
            if event is None:
                if out:  # what is there goes out at once, and together
                    await self._tell(out)
                    out = []
                event = await upstream.next_event(self._config.response_timeout)
            if isinstance(event, h11.InformationalResponse):
                if self._client.knows_informational:
                    out.append(_informational(event))
            elif isinstance(event, h11.Response):
                self._status = event.status_code
                last = self._client.last or self._client.waits_for_continue
                out.append(_final(event, last=last))
            elif isinstance(event, h11.EndOfMessage):
                self.code = self._status
                await self._tell([*out, event])
                return
            elif isinstance(event, h11.Data):
                out.append(event)
            else:
                await self._tell(out)
                raise ConnectionResetError("the instance closed the connection")

    async def _tell(self, events: Sequence[Event]) -> None:
        self._answered = self._answered or any(isinstance(event, h11.Response) for event in events)
        await self._client.send(*events)

    async def _fail(self, code: int) -> None:
        self.code = code
        if self._answered:  # too late for another status: cut the answer short, so that the client notices
            self._client.abort()
        else:
            await respond(self._client, code)


async def respond(client: HttpConnection, code: int) -> None:
    """Answer in the proxy's own name, and end the connection with it.

    Raises:
        ConnectionError: the client is gone.
    """
    client.last = True
    text = _REASONS.get(code, b"the request cannot be served") + b"\n"
    fields = [
        (b"Content-Type", b"text/plain; charset=utf-8"),
        (b"Content-Length", str(len(text)).encode("ascii")),
        (b"Connection", b"close"),
    ]
    await client.send(
        h11.Response(status_code=code, headers=fields, reason=HTTPStatus(code).phrase.encode("ascii")),
        h11.Data(data=text),
        h11.EndOfMessage(),
    )


def _informational(event: h11.InformationalResponse) -> h11.InformationalResponse:
    fields = _response_fields(event, last=False)
    return h11.InformationalResponse(status_code=event.status_code, headers=fields, reason=event.reason)


def _final(event: h11.Response, *, last: bool) -> h11.Response:
    fields = _response_fields(event, last=last)
    return h11.Response(status_code=event.status_code, headers=fields, reason=event.reason)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


_Fields = list[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade")
)
"""RFC 9110 section 7.6.1: these concern one connection; so do the fields that Connection names."""


def _request_fields(request: h11.Request, peer: str, address: str) -> _Fields:
    """_Fields of a request as the instance gets them.

    Arguments:
        request: as the client sent it.
        peer: the client's address.
        address: the instance's, for a client so old that it names no host.
    """
    fields = _end_to_end(request)
    names = {name.lower() for name, _ in fields}
    if b"host" not in names:
        fields.insert(0, (b"Host", address.encode("ascii")))
    earlier = b", ".join(value for name, value in fields if name.lower() == b"x-forwarded-for")
    fields = [(name, value) for name, value in fields if name.lower() != b"x-forwarded-for"]
    chain = b", ".join(part for part in (earlier, peer.encode("ascii")) if part)
    if chain:
        fields.append((b"X-Forwarded-For", chain))
    if b"x-forwarded-proto" not in names:
        fields.append((b"X-Forwarded-Proto", b"http"))
    if b"x-forwarded-host" not in names:
        fields.extend((b"X-Forwarded-Host", value) for name, value in fields if name.lower() == b"host")
    fields.append((b"Via", request.http_version + b" pipegraft"))
    if _chunked(request.headers):
        fields.append((b"Transfer-Encoding", b"chunked"))
    return fields


def _response_fields(response: h11.Response | h11.InformationalResponse, *, last: bool) -> _Fields:
    """_Fields of an answer as the client gets them; h11 frames the body itself.

    Arguments:
        last: the connection to the client ends with this answer.
    """
    fields = _end_to_end(response)
    if last:
        fields.append((b"Connection", b"close"))
    return fields


def _plain_target(target: bytes) -> bytes:
    """The target in origin form; a client may send the absolute form to any server (RFC 9112, 3.2.2)."""
    if not target.lower().startswith((b"http://", b"https://")):
        return target
    slash = target.find(b"/", target.index(b"://") + 3)
    return target[slash:] if slash >= 0 else b"/"


def _chunked(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the body is framed by chunks; h11 has refused every other transfer encoding."""
    return any(name == b"transfer-encoding" for name, _ in headers)


def _has_body(request: h11.Request) -> bool:
    """Whether anything follows the head of the request."""
    if _chunked(request.headers):
        return True
    return any(name == b"content-length" and int(value) > 0 for name, value in request.headers)


def _end_to_end(message: h11.Request | h11.Response | h11.InformationalResponse) -> _Fields:
    dropped = set(_HOP_BY_HOP)
    for name, value in message.headers:
        if name == b"connection":
            dropped.update(part.strip().lower() for part in value.split(b","))
    if _chunked(message.headers):
        dropped.add(b"content-length")  # RFC 9112, 6.3: the transfer encoding overrides it
    return [(name, value) for name, value in message.headers.raw_items() if name.lower() not in dropped]
