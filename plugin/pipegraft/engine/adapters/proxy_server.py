"""The weighted HTTP proxy, a process of its own: one file, reread on SIGHUP, and reloads that cut nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CONTENT_TYPE_LATEST

from pipegraft.appspec.traffic_ports import Backend, Choice, Route
from pipegraft.core.adapters.files import write_atomically
from pipegraft.core.delivery_file import parse_document
from pipegraft.core.errors import PipegraftError, Unreachable, UsageError
from pipegraft.engine.adapters.metrics import INSTANCES, ProxyMetrics
from pipegraft.engine.adapters.proxy import ProxyConfig, ProxyFiles, fingerprint, host_and_port
from pipegraft.engine.adapters.proxy_forward import MAX_HEAD, Exchange, Upstream, refusal

__all__ = ["Balancer", "Proxy", "serve", "serve_in_background"]


_UNREAD_BODY = 2.0
"""Seconds to read what a client still sends after its answer.

TCP resets a connection that is closed with data unread, and a reset may overtake the answer (RFC 9112, 9.6).
"""

_log = logging.getLogger("pipegraft.proxy")
_log.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)))
"""Says defects on standard error; what clients send amiss is answered, and no news."""


class Balancer:
    """Smooth weighted round robin over backends, plain round robin over the instances of one.

    In every run of as many choices as the weights add up to, each backend is chosen exactly as often as
    its weight says, spread evenly. The algorithm is nginx's (commit 52327e0627f4, "Upstream: smooth
    weighted round-robin balancing"): each time every backend gains its weight, the one that has most is
    chosen and pays the sum.

    Arguments:
        backends: those with weight 0 get no request but by a choice.
        choices: what is looked at before the weights.
    """

    def __init__(self, backends: Sequence[Backend], choices: Sequence[Choice] = ()) -> None:
        self._backends = [backend for backend in backends if backend.weight > 0]
        self._sum = sum(backend.weight for backend in self._backends)
        self._gained = [0] * len(self._backends)
        self._turn = dict.fromkeys((backend.name for backend in backends), 0)
        known = {backend.name: backend for backend in backends}
        self._choices = [
            (
                choice.header.lower(),
                re.compile(choice.value if choice.regex else re.escape(choice.value)),
                known[choice.backend],
            )
            for choice in choices
        ]

    def choose(self, values: Callable[[str], Sequence[str]] = lambda _: ()) -> Backend | None:
        """The backend of the next request; None if all weights are 0.

        Arguments:
            values: name of a header field in lower case → its values in the request. One that a choice
                decides takes no turn of those that the weights divide.
        """
        for header, pattern, backend in self._choices:
            found = values(header)
            joint = (
                "; " if header == "cookie" else ", "
            )  # cookies may come in several fields: RFC 9113, 8.2.3
            if found and pattern.fullmatch(joint.join(found)):
                return backend
        if not self._backends:
            return None
        gained = self._gained
        for index, backend in enumerate(self._backends):
            gained[index] += backend.weight
        chosen = max(range(len(gained)), key=gained.__getitem__)
        gained[chosen] -= self._sum
        return self._backends[chosen]

    def instances(self, backend: Backend) -> tuple[str, ...]:
        """Every address of a backend, the one whose turn it is first."""
        if not backend.addresses:
            return ()
        turn = self._turn[backend.name] % len(backend.addresses)
        self._turn[backend.name] = turn + 1
        return backend.addresses[turn:] + backend.addresses[:turn]


class _Listener:
    """One listening socket.

    Arguments:
        handle: answers one request; the second argument says whether the connection ends with the answer.
        client_timeout: seconds a client may be silent between two requests, or within the head of one.
    """

    def __init__(
        self, handle: Callable[[web.BaseRequest, bool], Awaitable[web.StreamResponse]], client_timeout: float
    ) -> None:
        self._handle = handle
        self._web = web.Server(
            self._serve,
            handler_cancellation=True,
            access_log=None,
            logger=_log,
            auto_decompress=False,
            keepalive_timeout=client_timeout,
            lingering_time=_UNREAD_BODY,
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
        )
        self._server: asyncio.Server | None = None
        self._under_way: dict[web.RequestHandler, asyncio.Task[object]] = {}
        self._draining = False

    async def open(self, address: str) -> None:
        """Start to accept.

        Raises:
            OSError: the address cannot be had.
        """
        host, port = host_and_port(address)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._web, host, port, backlog=1024)
        except OSError as error:
            raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from None

    @property
    def address(self) -> str:
        """``host:port`` as opened."""
        if self._server is None or not self._server.sockets:
            return ""
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def drain(self) -> set[asyncio.Task[object]]:
        """Accept nothing more, close idle connections, and let the others end with their exchange.

        Returns:
            The exchanges that are still under way.
        """
        self._draining = True
        if self._server is not None:
            self._server.close()
        for connection in self._web.connections:
            if connection not in self._under_way:
                connection.force_close()
        return set(self._under_way.values())

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - aiohttp runs each request in a task
        self._under_way[request.protocol] = task
        try:
            response = await self._handle(request, self._draining)
            if self._draining:
                response.force_close()
            return response
        finally:
            del self._under_way[request.protocol]


class Proxy:
    """Everything one proxy process serves. Lives in one event loop."""

    def __init__(self) -> None:
        self._config = ProxyConfig()
        self._metrics = ProxyMetrics()
        self._upstream = Upstream()
        self._entrances: dict[str, _Entrance] = {}
        self._admin: _Listener | None = None

    async def apply(self, config: ProxyConfig) -> None:
        """Serve this and nothing else; requests under way end as they began.

        Raises:
            OSError: an address cannot be listened on; what was served is served on.
        """
        routes = config.as_routes()
        self._metrics.know(routes)
        opened: list[_Listener] = []
        try:
            admin = self._admin
            if admin is None or config.admin != self._config.admin:
                admin = _Listener(self._administer, config.client_timeout)
                await admin.open(config.admin)
                opened.append(admin)
            entrances = {
                route.name: await self._entrance(route, config.client_timeout, opened) for route in routes
            }
        except OSError:
            for listener in opened:
                listener.drain()
            raise
        before = set(self._listeners())
        self._config, self._admin, self._entrances = config, admin, entrances
        for route in routes:
            entrances[route.name].serve(route)
        for listener in before.difference(self._listeners()):
            listener.drain()

    async def close(self) -> None:
        """Stop accepting, let requests under way end within the grace, and go."""
        tasks = {task for listener in self._listeners() for task in listener.drain()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._config.grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._upstream.close()

    @property
    def admin(self) -> str:
        """``host:port`` of the admin port, as opened."""
        return self._admin.address if self._admin else ""

    @property
    def listening(self) -> Mapping[str, str]:
        """Route → ``host:port``, as opened."""
        return {name: entrance.listener.address for name, entrance in self._entrances.items()}

    def _listeners(self) -> Iterator[_Listener]:
        if self._admin is not None:
            yield self._admin
        for entrance in self._entrances.values():
            yield entrance.listener

    async def _entrance(self, route: Route, client_timeout: float, opened: list[_Listener]) -> _Entrance:
        """The one that listens there already, or a new one."""
        entrance = self._entrances.get(route.name)
        if entrance is None or entrance.route.listen != route.listen:
            entrance = _Entrance(self, route, client_timeout)
            await entrance.listener.open(route.listen)
            opened.append(entrance.listener)
        return entrance

    async def forward(
        self, request: web.BaseRequest, route: str, balancer: Balancer, *, draining: bool
    ) -> web.StreamResponse:
        """Carry one request of a route, and count it."""
        backend = balancer.choose(lambda header: request.headers.getall(header, ()))
        if backend is None:
            return refusal(503)
        addresses = balancer.instances(backend)
        exchange = Exchange(request, addresses, self._upstream, self._config, draining=draining)
        began = time.perf_counter()
        self._metrics.began(route, backend.name)
        try:
            return await exchange.run()
        finally:
            seconds = time.perf_counter() - began
            self._metrics.ended(route, backend.name, exchange.code, seconds, exchange.address)

    async def _administer(self, request: web.BaseRequest, _draining: bool) -> web.StreamResponse:
        if request.path == "/metrics":
            return web.Response(body=self._exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})
        if request.path == INSTANCES:
            return web.Response(text=self._metrics.instances(), content_type="application/json")
        if request.path == "/healthz":
            return web.Response(text="ok\n")
        return web.Response(status=404, text=f"there are /metrics, {INSTANCES} and /healthz\n")

    def _exposition(self) -> str:
        return self._metrics.exposition([entrance.route for entrance in self._entrances.values()])


class _Entrance:
    """A route with its listener; the next request goes by the newest weights."""

    def __init__(self, proxy: Proxy, route: Route, client_timeout: float) -> None:
        self._proxy = proxy
        self.listener = _Listener(self._handle, client_timeout)
        self.route = route
        self._balancer = Balancer(route.backends, route.choices)

    def serve(self, route: Route) -> None:
        """Go by this from the next request on; turns are kept where nothing changed."""
        if (route.backends, route.choices) != (self.route.backends, self.route.choices):
            self._balancer = Balancer(route.backends, route.choices)
        self.route = route

    async def _handle(self, request: web.BaseRequest, draining: bool) -> web.StreamResponse:
        return await self._proxy.forward(request, self.route.name, self._balancer, draining=draining)


def serve(config: Path, ready: Callable[[], None] = lambda: None) -> None:
    """Serve a configuration file until SIGTERM or SIGINT.

    Arguments:
        config: the file.
        ready: called once everything is listened on.

    Raises:
        UsageError: the file cannot be read as a configuration.
        Unreachable: an address cannot be listened on.
        Locked: another process serves this file.
    """
    if not config.is_file():
        raise UsageError(f"expected a proxy configuration, found no file {config}")
    files = ProxyFiles(config)
    with files.held():
        asyncio.run(_serve(files, ready))


def serve_in_background(config: Path) -> None:
    """Serve in a process that outlives this one and its terminal; return once it serves.

    Raises:
        Unreachable: it ended before that; why, it has printed.
    """
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        with open(reading, "rb") as pipe:  # noqa: PTH123 - a descriptor, not a path
            if not pipe.read():
                raise Unreachable("the proxy ended before it served anything")
        return
    os.close(reading)
    os.setsid()

    def ready() -> None:
        os.write(writing, b"ready")
        os.close(writing)

    serve(config, ready)


async def _serve(files: ProxyFiles, ready: Callable[[], None]) -> None:
    proxy = Proxy()
    stop, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    try:
        await _load(proxy, files)
        ready()
        while not stop.is_set():
            waiting = [asyncio.create_task(event.wait()) for event in (stop, reload)]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
            if reload.is_set():
                reload.clear()
                await _reload(proxy, files)
    finally:
        await proxy.close()
        files.status.unlink(missing_ok=True)


async def _load(proxy: Proxy, files: ProxyFiles) -> None:
    text = files.config.read_text("utf-8")
    try:
        await proxy.apply(parse_document(text, str(files.config), ProxyConfig))
    except OSError as error:
        raise Unreachable(
            f"{error.strerror}", fix="end what listens there, or choose another address"
        ) from error
    _tell(proxy, files, text)


async def _reload(proxy: Proxy, files: ProxyFiles) -> None:
    """Read the file again; what cannot be served is told in the status, and nothing changes."""
    try:
        await _load(proxy, files)
    except (OSError, PipegraftError) as error:
        _tell(proxy, files, files.config.read_text("utf-8"), str(error))


def _tell(proxy: Proxy, files: ProxyFiles, text: str, error: str = "") -> None:
    status = {
        "process": os.getpid(),
        "config": fingerprint(text),
        "admin": proxy.admin,
        "listening": dict(proxy.listening),
        "error": error,
    }
    write_atomically(files.status, json.dumps(status, indent=2).encode())
