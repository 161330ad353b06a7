"""Requests over connections that are kept: the standard library's HTTP, pooled and through proxies.

Not httpx: its import takes longer than fifty questions to a registry.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import select
import socket
import ssl
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property

from pipegraft.core.errors import UsageError

__all__ = ["Answer", "Lost", "Wire", "speaks_tls", "with_query"]

_READ = 1 << 18
_IDLE = 32
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS = {"http": 80, "https": 443}


class Lost(Exception):
    """A connection could not be made, broke, or fell silent; the cause is why."""


def with_query(url: str, parameters: Mapping[str, str | list[str]]) -> str:
    """A URL with further parameters."""
    added = urllib.parse.urlencode(parameters, doseq=True)
    return f"{url}{'&' if urllib.parse.urlsplit(url).query else '?'}{added}" if added else url


def speaks_tls(host: str, silence: float) -> bool:
    """Whether a server answers to TLS; nothing is asked of it, so its certificate does not matter yet.

    Arguments:
        host: ``host[:port]``.

    Raises:
        Lost: it does not answer at all.
    """
    parts = urllib.parse.urlsplit(f"https://{host}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((parts.hostname, parts.port or 443), silence) as plain,
            context.wrap_socket(plain, server_hostname=parts.hostname),
        ):
            return True
    except ssl.SSLError:
        return False
    except OSError as error:
        raise Lost from error


class Answer:
    """An answer whose body is read when it is wanted, while its connection is held.

    Arguments:
        method, url: of the request.
        raw: as the standard library has it.
    """

    def __init__(self, method: str, url: str, raw: http.client.HTTPResponse) -> None:
        self.method = method
        self.url = url
        self.raw = raw
        self.status: int = raw.status
        self.headers: dict[str, str] = {}
        """By lower-case name; several of one name with commas between."""
        for name, value in raw.getheaders():
            key = name.lower()
            self.headers[key] = f"{self.headers[key]}, {value}" if key in self.headers else value

    @property
    def redirected_to(self) -> str | None:
        """Where the request should go instead."""
        return self.headers.get("location") if self.status in _REDIRECTS else None

    @cached_property
    def content(self) -> bytes:
        """The whole body; read first within the request's `with`, it can be had after it too."""
        return b"".join(self.blocks())

    def blocks(self) -> Iterator[bytes]:
        """The body, as it comes.

        Raises:
            Lost: it ends too early.
        """
        try:
            while block := self.raw.read(_READ):
                yield block
        except (OSError, http.client.HTTPException) as error:
            raise Lost from error
        if self.raw.length:
            raise Lost from http.client.IncompleteRead(b"", self.raw.length)


class Wire:
    """Connections to any host, for several threads.

    Arguments:
        trust: makes the TLS settings, once they are needed.
        agent: value of `User-Agent`.
    """

    def __init__(self, trust: Callable[[], ssl.SSLContext], agent: str) -> None:
        self._trust = trust
        self._agent = agent
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, str], list[http.client.HTTPConnection]] = {}

    @contextlib.contextmanager
    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Iterable[bytes] | bytes | None = None,
        silence: float,
    ) -> Iterator[Answer]:
        """Send a request.

        Arguments:
            body: blocks need `content-length` among the headers.
            silence: seconds without a byte after which the connection is given up.

        Raises:
            Lost: there is no answer.
        """
        parts = urllib.parse.urlsplit(url)
        connection, proxied = self._connection(parts, silence)
        target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        try:
            try:
                answer = _exchange(
                    connection,
                    method,
                    url if proxied is not None else target,
                    {"user-agent": self._agent, **(proxied or {}), **headers},
                    body,
                )
            except (OSError, http.client.HTTPException) as error:
                raise Lost from error
            yield Answer(method, url, answer)
            if answer.length == 0:
                answer.read()
            if answer.isclosed() and connection.sock is not None:
                self._keep(parts, connection)
                return
        except BaseException:
            connection.close()
            raise
        connection.close()

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            for connections in self._idle.values():
                for connection in connections:
                    connection.close()
            self._idle.clear()

    def _keep(self, parts: urllib.parse.SplitResult, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            idle = self._idle.setdefault((parts.scheme, parts.netloc), [])
            if len(idle) < _IDLE:
                idle.append(connection)
                return
        connection.close()

    def _connection(
        self, parts: urllib.parse.SplitResult, silence: float
    ) -> tuple[http.client.HTTPConnection, Mapping[str, str] | None]:
        """A connection for a URL; where it leads to a proxy that wants whole URLs, its headers too."""
        proxy = _proxy(parts)
        proxied = _authorization(proxy) if proxy and parts.scheme == "http" else None
        while True:
            with self._lock:
                idle = self._idle.get((parts.scheme, parts.netloc))
                connection = idle.pop() if idle else None
            if connection is None:
                return self._open(parts, proxy, silence), proxied
            if connection.sock is not None and not _readable(connection.sock):
                connection.sock.settimeout(silence)
                return connection, proxied
            connection.close()  # the other side has closed it, or says what nobody asked for

    def _open(
        self, parts: urllib.parse.SplitResult, proxy: urllib.parse.SplitResult | None, silence: float
    ) -> http.client.HTTPConnection:
        via = proxy or parts
        host, port = via.hostname or "", via.port or _PORTS[via.scheme]
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=silence)
        secure = http.client.HTTPSConnection(host, port, timeout=silence, context=self._trust())
        if proxy:
            secure.set_tunnel(parts.hostname or "", parts.port or 443, headers=_authorization(proxy))
        return secure


def _exchange(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: Iterable[bytes] | bytes | None,
) -> http.client.HTTPResponse:
    try:
        connection.request(method, target, body=body, headers=headers)
    except (BrokenPipeError, ConnectionResetError):
        if connection.sock is None:
            raise
        # Whoever stops reading has often said why before.
        with contextlib.suppress(OSError, http.client.HTTPException):
            return connection.getresponse()
        raise
    return connection.getresponse()


def _readable(sock: object) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)  # type: ignore[arg-type] # a socket, which http.client leaves untyped
    return bool(poll.poll(0))


def _proxy(parts: urllib.parse.SplitResult) -> urllib.parse.SplitResult | None:
    """The proxy that the environment names for a URL, None to connect directly."""
    if parts.hostname in _LOOPBACK or not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    proxies = urllib.request.getproxies_environment()
    address = proxies.get(parts.scheme) or proxies.get("all")
    if not address or urllib.request.proxy_bypass(parts.netloc):
        return None
    proxy = urllib.parse.urlsplit(address if "://" in address else f"http://{address}")
    if proxy.scheme != "http" or not proxy.hostname:
        raise UsageError(
            f"expected a proxy such as http://proxy.example.com:3128, found scheme '{proxy.scheme}'",
            fix=f"correct {parts.scheme}_proxy",
        )
    return proxy


def _authorization(proxy: urllib.parse.SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    words = f"{urllib.parse.unquote(proxy.username)}:{urllib.parse.unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(words.encode()).decode()}"}
