"""The weighted HTTP proxy: listeners for routes, an admin port, reloads that cut nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus

import h11
from prometheus_client import CONTENT_TYPE_LATEST

from pipegraft.appspec.ports.traffic import Route
from pipegraft.engine.adapters.proxy.config import ProxyConfig
from pipegraft.engine.adapters.proxy.forward import Exchange, respond
from pipegraft.engine.adapters.proxy.http_connection import HttpConnection, Pool
from pipegraft.engine.adapters.proxy.listener import Listener
from pipegraft.engine.adapters.proxy.metrics import ProxyMetrics
from pipegraft.engine.adapters.proxy.server import Balancer

__all__ = ["Proxy"]


class Proxy:
    """Everything one proxy process serves. Lives in one event loop."""

    def __init__(self) -> None:
        self._config = ProxyConfig()
        self._metrics = ProxyMetrics()
        self._pool = Pool()
        self._entrances: dict[str, _Entrance] = {}
        self._admin: Listener | None = None

    async def apply(self, config: ProxyConfig) -> None:
        """Serve this and nothing else; requests under way end as they began.

        Raises:
            OSError: an address cannot be listened on; what was served is served on.
        """
        routes = config.as_routes()
        self._metrics.know(routes)
        opened: list[Listener] = []
        try:
            admin = self._admin
            if admin is None or config.admin != self._config.admin:
                admin = Listener(self._administer, self.client_timeout)
                await admin.open(config.admin)
                opened.append(admin)
            entrances = {route.name: await self._entrance(route, opened) for route in routes}
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
        self._pool.keep_only(
            {address for route in routes for backend in route.backends for address in backend.addresses}
        )

    async def close(self) -> None:
        """Stop accepting, let requests under way end within the grace, and go."""
        tasks = {task for listener in self._listeners() for task in listener.drain()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._config.grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._pool.keep_only(())

    @property
    def admin(self) -> str:
        """``host:port`` of the admin port, as opened."""
        return self._admin.address if self._admin else ""

    @property
    def listening(self) -> Mapping[str, str]:
        """Route → ``host:port``, as opened."""
        return {name: entrance.listener.address for name, entrance in self._entrances.items()}

    def _listeners(self) -> Iterator[Listener]:
        if self._admin is not None:
            yield self._admin
        for entrance in self._entrances.values():
            yield entrance.listener

    async def _entrance(self, route: Route, opened: list[Listener]) -> _Entrance:
        """The one that listens there already, or a new one."""
        entrance = self._entrances.get(route.name)
        if entrance is None or entrance.route.listen != route.listen:
            entrance = _Entrance(self, route)
            await entrance.listener.open(route.listen)
            opened.append(entrance.listener)
        return entrance

    async def forward(
        self, client: HttpConnection, request: h11.Request, route: str, balancer: Balancer
    ) -> None:
        """Carry one request of a route, and count it."""
        backend = balancer.choose(request.headers)
        if backend is None:
            await respond(client, 503)
            return
        exchange = Exchange(client, request, balancer.instances(backend), self._pool, self._config)
        began = time.perf_counter()
        self._metrics.began(route, backend.name)
        try:
            await exchange.run()
        finally:
            self._metrics.ended(route, backend.name, exchange.code, time.perf_counter() - began)

    async def _administer(self, client: HttpConnection, request: h11.Request) -> None:
        pages: dict[bytes, Callable[[], str]] = {b"/metrics": self._exposition, b"/healthz": lambda: "ok\n"}
        page = pages.get(request.target.partition(b"?")[0])
        status = HTTPStatus.OK if page else HTTPStatus.NOT_FOUND
        text = (page() if page else "there are /metrics and /healthz\n").encode()
        fields = [
            (b"Content-Type", CONTENT_TYPE_LATEST.encode("ascii")),
            (b"Content-Length", str(len(text)).encode("ascii")),
        ]
        body = b"" if request.method == b"HEAD" else text
        head = h11.Response(status_code=status, headers=fields, reason=status.phrase.encode("ascii"))
        await client.send(head, h11.Data(data=body), h11.EndOfMessage())

    def _exposition(self) -> str:
        return self._metrics.exposition([entrance.route for entrance in self._entrances.values()])

    def client_timeout(self) -> float:
        """Seconds a client may be silent."""
        return self._config.client_timeout


class _Entrance:
    """A route with its listener; the next request goes by the newest weights."""

    def __init__(self, proxy: Proxy, route: Route) -> None:
        self._proxy = proxy
        self.listener = Listener(self._handle, proxy.client_timeout)
        self.route = route
        self._balancer = Balancer(route.backends, route.choices)

    def serve(self, route: Route) -> None:
        """Go by this from the next request on; turns are kept where nothing changed."""
        if (route.backends, route.choices) != (self.route.backends, self.route.choices):
            self._balancer = Balancer(route.backends, route.choices)
        self.route = route

    async def _handle(self, client: HttpConnection, request: h11.Request) -> None:
        await self._proxy.forward(client, request, self.route.name, self._balancer)
