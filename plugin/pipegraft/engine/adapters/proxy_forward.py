"""One request, carried from a client to an instance, and its answer back: what crosses, and what is added."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp
from aiohttp import web
from yarl import URL

from pipegraft.engine.adapters.proxy import ProxyConfig

__all__ = ["CLIENT_GONE", "MAX_HEAD", "Exchange", "Upstream", "refusal"]

CLIENT_GONE = 499
"""The client went away before its answer was complete; the code is nginx's, it is never sent."""
MAX_HEAD = 64 * 1024
"""Longest request line, status line or header field, in bytes."""

_REPEATABLE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
"""RFC 9110, 9.2.1 and 9.2.2: safe methods; a proxy may repeat them by itself."""
_MOST_SILENT_READER = 60.0
"""Seconds a client may take to read what was written."""
_REASONS = {
    400: "the request is not valid HTTP/1.1",
    408: "the request did not arrive in time",
    502: "no instance gave a valid answer",
    503: "no instance is ready",
    504: "the instance did not answer in time",
}
_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade")
)
"""RFC 9110 section 7.6.1: these concern one connection; so do the fields that Connection names."""
_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""What aiohttp would add to a request."""

Fields = list[tuple[str, str]]


class _Refused(Exception):
    """The request ends with an answer in the proxy's own name.

    Arguments:
        code: its status.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _BrokenOff(Exception):
    """The connection ended before an answer began."""


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keeps aiohttp from sending a request again by itself: the `Exchange` says when that is right."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _BrokenOff from error


async def _note_reuse(_session: object, context: SimpleNamespace, _params: object) -> None:
    context.trace_request_ctx.reused = True


class Upstream:
    """Connections to instances: those that are kept for the next request, and those that serve one alone."""

    def __init__(self) -> None:
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        self._kept = self._session(aiohttp.TCPConnector(limit=0), trace)
        self._fresh = self._session(aiohttp.TCPConnector(limit=0, force_close=True), trace)

    @staticmethod
    def _session(connector: aiohttp.TCPConnector, trace: aiohttp.TraceConfig) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_ADDED,
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
            middlewares=(_once,),
            trace_configs=[trace],
        )

    def session(self, *, kept: bool) -> aiohttp.ClientSession:
        """Where to send a request: over a connection kept open if there is one, or over a new one."""
        return self._kept if kept else self._fresh

    async def close(self) -> None:
        """Close every connection."""
        await self._kept.close()
        await self._fresh.close()


class _Answer(web.StreamResponse):
    """An answer as the instance gave it: without the names that aiohttp gives to what has none."""

    async def _prepare_headers(self) -> None:
        absent = {name for name in ("Content-Type", "Server") if name not in self.headers}
        await super()._prepare_headers()
        for name in absent:
            self.headers.popall(name, None)


def refusal(code: int) -> web.Response:
    """An answer in the proxy's own name, which ends the connection."""
    response = web.Response(status=code, text=f"{_REASONS[code]}\n", headers={"Server": "pipegraft"})
    response.force_close()
    return response


@dataclass
class _Sent:
    """What is known of a request under way."""

    reused: bool = False
    """Whether the connection stood before."""
    body_wanted: bool = False
    """Whether the instance asked for the body."""
    fault: int = 0
    """Status for what the client did wrong within its body."""


class Exchange:
    """Carries one request.

    Arguments:
        request: from the client.
        addresses: instances in the order they are tried. The next one is tried only if nothing was sent
            to the one before. A request is sent again to the same one only if a connection kept open turns
            out to be closed, and repeating the request is safe.
        draining: whether the connection to the client ends with the answer.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        addresses: Sequence[str],
        upstream: Upstream,
        config: ProxyConfig,
        *,
        draining: bool,
    ) -> None:
        self._request = request
        self._addresses = addresses
        self._upstream = upstream
        self._config = config
        self._draining = draining
        self._expects = request.headers.get("Expect", "").lower() == "100-continue"
        self._repeatable = request.method in _REPEATABLE and not request.body_exists
        self.code = CLIENT_GONE
        """Status the exchange counts as; `CLIENT_GONE` until there is another one."""
        self.address = ""
        """The instance that answered, or was tried last; empty if there is none."""

    async def run(self) -> web.StreamResponse:
        """Carry it; whatever goes wrong ends in an answer or in a closed connection, and in `code`.

        Raises:
            ConnectionError: the client is gone.
        """
        try:
            return await self._over_one_of_them()
        except _Refused as refused:
            self.code = refused.code
            return refusal(refused.code)

    async def _over_one_of_them(self) -> web.StreamResponse:
        for address in self._addresses:
            self.address = address
            for kept in (True, False) if self._repeatable else (False,):
                sent = _Sent()
                try:
                    answer = await self._send(address, sent, kept=kept)
                except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                    break
                except (TimeoutError, aiohttp.ServerTimeoutError):
                    raise _Refused(sent.fault or 504) from None
                except (aiohttp.ClientError, _BrokenOff) as error:
                    if sent.reused and isinstance(error, _BrokenOff):
                        continue
                    raise _Refused(sent.fault or 502) from None
                async with answer:
                    return await self._pass_on(answer, sent)
        raise _Refused(502 if self._addresses else 503)

    async def _send(self, address: str, sent: _Sent, *, kept: bool) -> aiohttp.ClientResponse:
        """Send it; returns once the head of the answer is there."""
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=self._config.connect_timeout, sock_read=self._config.response_timeout
        )
        return await self._upstream.session(kept=kept).request(
            self._request.method,
            URL(f"http://{address}{_plain_target(self._request.raw_path)}", encoded=True),
            headers=_request_fields(self._request),
            data=self._body(sent) if self._request.body_exists else None,
            expect100=self._expects,
            allow_redirects=False,
            timeout=limits,
            trace_request_ctx=sent,
        )

    async def _body(self, sent: _Sent) -> AsyncIterator[bytes]:
        """The body of the request, asked for when the instance wants it."""
        sent.body_wanted = True
        if self._expects:
            await self._request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        yield b""  # aiohttp sends the head with the first block: it need not wait for the client
        try:
            while True:
                async with asyncio.timeout(self._config.client_timeout):
                    block = await self._request.content.readany()
                if not block:
                    return
                yield block
        except TimeoutError:
            sent.fault = 408
            raise
        except web.RequestPayloadError:
            sent.fault = 400
            raise

    async def _pass_on(self, answer: aiohttp.ClientResponse, sent: _Sent) -> web.StreamResponse:
        """Carry the answer as it comes; one that breaks off breaks off for the client, too."""
        if answer.content.exception():
            raise _Refused(502)
        response = _Answer(status=answer.status, reason=answer.reason, headers=_answer_fields(answer))
        withheld = self._expects and not sent.body_wanted
        if self._draining or withheld:
            response.force_close()
        await response.prepare(self._request)
        while block := await self._next_block(answer):
            await self._write(response, block)
        if self.code != CLIENT_GONE:
            return response
        await response.write_eof()
        self.code = answer.status
        if withheld:  # the client will not send its body any more, or will without an end
            self._request.protocol.force_close()
        return response

    async def _next_block(self, answer: aiohttp.ClientResponse) -> bytes:
        """What comes next of an answer; empty at its end, also where it breaks off: `code` tells that."""
        try:
            return await answer.content.readany()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.code = 504 if isinstance(error, TimeoutError) else 502
            self._cut()
            return b""

    async def _write(self, response: web.StreamResponse, block: bytes) -> None:
        try:
            async with asyncio.timeout(_MOST_SILENT_READER):
                await response.write(block)
        except TimeoutError:
            self._cut()
            raise ConnectionResetError("the client does not read") from None

    def _cut(self) -> None:
        """Close at once, so that the client sees an answer cut short as cut short."""
        if self._request.transport is not None:
            self._request.transport.abort()


def _request_fields(request: web.BaseRequest) -> Fields:
    """Fields of a request as the instance gets them.

    Raises:
        _Refused: a value is no text.
    """
    try:
        fields = list(_end_to_end(request.raw_headers))
    except UnicodeDecodeError:
        raise _Refused(400) from None
    earlier = [value for name, value in fields if name.lower() == "x-forwarded-for"]
    fields = [(name, value) for name, value in fields if name.lower() != "x-forwarded-for"]
    names = {name.lower() for name, _ in fields}
    if chain := ", ".join([*earlier, *([request.remote] if request.remote else [])]):
        fields.append(("X-Forwarded-For", chain))
    if "x-forwarded-proto" not in names:
        fields.append(("X-Forwarded-Proto", "http"))
    if "x-forwarded-host" not in names and "host" in names:
        fields.append(("X-Forwarded-Host", request.headers["Host"]))
    return [*fields, ("Via", f"{request.version.major}.{request.version.minor} pipegraft")]


def _answer_fields(answer: aiohttp.ClientResponse) -> Fields:
    """Fields of an answer as the client gets them; aiohttp frames the body itself.

    Raises:
        _Refused: a value is no text.
    """
    try:
        return list(_end_to_end(answer.raw_headers))
    except UnicodeDecodeError:
        raise _Refused(502) from None


def _end_to_end(headers: Sequence[tuple[bytes, bytes]]) -> Iterator[tuple[str, str]]:
    fields = [(name.decode(), value.decode()) for name, value in headers]
    dropped = set(_HOP_BY_HOP)
    for name, value in fields:
        if name.lower() == "connection":
            dropped.update(part.strip().lower() for part in value.split(","))
        if name.lower() == "transfer-encoding":
            dropped.add("content-length")  # RFC 9112, 6.3: the transfer encoding overrides it
    return (field for field in fields if field[0].lower() not in dropped)


def _plain_target(target: str) -> str:
    """The target in origin form; a client may send the absolute form to any server (RFC 9112, 3.2.2).

    Raises:
        _Refused: it has another form.
    """
    if target.lower().startswith(("http://", "https://")):
        target = "/" + target.partition("://")[2].partition("/")[2]
    if not target.startswith("/") or not target.isascii():
        raise _Refused(400)
    return target
