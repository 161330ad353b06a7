"""The embedded proxy beside asking the application directly: requests a second, and seconds a request."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pipegraft.appspec.traffic_ports import Backend, Route
from pipegraft.engine.adapters.proxy import EmbeddedRouter

REQUEST = b"GET /price?item=tea HTTP/1.1\r\nHost: shop\r\nAccept: */*\r\n\r\n"
CONNECTIONS = 8
REQUESTS = 4000

APPLICATION = """
import asyncio
HEAD = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: 64\\r\\n\\r\\n"
ANSWER = HEAD + b"x" * 64

class Application(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(ANSWER * data.count(b"\\r\\n\\r\\n"))

async def main():
    server = await asyncio.get_running_loop().create_server(Application, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


async def client(address: str, count: int) -> list[float]:
    """Ask one request after another on one connection; seconds that each took."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    took = []
    for _ in range(count):
        began = time.perf_counter()
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(64)
        took.append(time.perf_counter() - began)
    writer.close()
    return took


async def measure(address: str, connections: int) -> tuple[float, float]:
    """Requests a second and the median of their seconds."""
    began = time.perf_counter()
    share = REQUESTS // connections
    took = await asyncio.gather(*(client(address, share) for _ in range(connections)))
    seconds = time.perf_counter() - began
    return share * connections / seconds, statistics.median(one for each in took for one in each)


def main() -> None:
    """Print the table."""
    with (
        subprocess.Popen(
            [sys.executable, "-c", APPLICATION], stdout=subprocess.PIPE, text=True
        ) as application,
        tempfile.TemporaryDirectory() as folder,
    ):
        assert application.stdout
        direct = f"127.0.0.1:{application.stdout.readline().strip()}"
        router = EmbeddedRouter(Path(folder))
        backends = (Backend("web", (direct,), 90), Backend("web-gray", (direct,), 10))
        router.apply([Route("shop/web", "127.0.0.1:0", backends)])
        proxied = router.listening["shop/web"]
        try:
            print(f"{'':24}{'proxy':>12}{'direct':>12}{'ratio':>8}")
            for connections in (1, CONNECTIONS):
                asyncio.run(measure(proxied, connections))  # warm
                through, through_median = asyncio.run(measure(proxied, connections))
                plain, plain_median = asyncio.run(measure(direct, connections))
                name = f"{connections} connections" if connections > 1 else "1 connection"
                print(f"{name + ', req/s':24}{through:12.0f}{plain:12.0f}{through / plain:8.2f}")
                median = f"{through_median * 1000:12.2f}{plain_median * 1000:12.2f}"
                print(f"{name + ', ms':24}{median}{through_median / plain_median:8.1f}")
        finally:
            router.stop()
            application.terminate()
