"""The proxy's counters as a metric source."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipegraft.appspec.traffic_ports import Backend, Route
from pipegraft.core.delivery import Metric
from pipegraft.core.errors import Unreachable
from pipegraft.engine.adapters.metrics import EmbeddedSource, Options, ProxyMetrics
from pipegraft.gray.observation import ArmCounts
from pipegraft.gray.ports import Arms, MetricRequest, MetricSource
from pipegraft.testing.gray_suite import MetricSourceSuite, Play


class Pages:
    """A server of whatever the proxy would show."""

    def __init__(self) -> None:
        self.metrics = ProxyMetrics()
        self.show: Callable[[], str] = self.text
        self.weight = 10
        self.down = False

    @property
    def routes(self) -> list[Route]:
        backends = (Backend("web", (), 100 - self.weight), Backend("web-gray", (), self.weight))
        other = (Backend("web", (), 100),)
        return [Route("shop-production/web", "", backends), Route("shop-staging/web", "", other)]

    def text(self) -> str:
        return self.metrics.exposition(self.routes)

    def serve(
        self, backend: str, code: int, times: int, seconds: float = 0.01, app: str = "shop-production"
    ) -> None:
        self.metrics.know(self.routes)
        for _ in range(times):
            self.metrics.began(f"{app}/web", backend)
            self.metrics.ended(f"{app}/web", backend, code, seconds)


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def url(pages: Pages) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code = 200 if self.path == "/metrics" else 404
            self.send_response(503 if pages.down else code)
            self.end_headers()
            self.wfile.write(pages.show().encode())

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def source(url: str, root: Path = Path(), **metric: object) -> EmbeddedSource:
    declared = Metric.model_validate({"source": "embedded", "url": url, **metric})
    options = Options.model_validate(dict(declared.options))
    return EmbeddedSource(options, MetricRequest("shop", "production", declared, root))


class TestEmbeddedSource(MetricSourceSuite):
    @pytest.fixture
    def play(self, pages: Pages, url: str) -> Play:
        def play(intervals: Sequence[Arms | None]) -> tuple[MetricSource, Callable[[], None]]:
            coming = iter(intervals)

            def happen() -> None:
                arms = next(coming)
                pages.down = arms is None
                for backend, arm in (("web", arms and arms.stable), ("web-gray", arms and arms.gray)):
                    failed = int(arm.errors or 0) if arm else 0
                    pages.serve(backend, 500, failed)
                    pages.serve(backend, 200, int(arm.requests) - failed if arm else 0)

            return source(url), happen

        return play


def test_only_what_rose_since_the_beginning_counts_and_only_ours(pages: Pages, url: str) -> None:
    pages.serve("web", 500, 7)
    opened = source(url)
    assert opened.begin(at=100.0, now=160.0) == 160.0
    pages.serve("web", 200, 88)
    pages.serve("web", 503, 2)
    pages.serve("web-gray", 200, 9)
    pages.serve("web-gray", 500, 1)
    pages.serve("web", 500, 50, app="shop-staging")
    assert opened.take(170.0) == Arms(ArmCounts(90, 2), ArmCounts(10, 1), weight=10)
    assert opened.take(180.0) == Arms(ArmCounts(0, 0), ArmCounts(0, 0), weight=10)


def test_latencies_come_as_a_histogram(pages: Pages, url: str) -> None:
    opened = source(url, kind="latency", threshold="250ms")
    opened.begin(0, 0)
    pages.serve("web", 200, 3, seconds=0.04)
    pages.serve("web-gray", 200, 2, seconds=0.3)
    pages.serve("web-gray", 200, 1, seconds=30)
    arms = opened.take(1)
    assert arms.stable
    assert arms.gray
    assert arms.stable.latency
    assert arms.gray.latency
    assert (arms.stable.latency.total, arms.stable.latency.slower_than(0.25)) == (3, 0)
    assert (arms.gray.latency.total, arms.gray.latency.slower_than(0.25)) == (3, 3)


def test_a_proxy_that_started_anew_counts_from_zero(pages: Pages, url: str) -> None:
    opened = source(url)
    pages.serve("web", 200, 500)
    opened.begin(0, 0)
    pages.metrics = ProxyMetrics()
    pages.serve("web", 200, 40)
    pages.serve("web-gray", 500, 3)
    assert opened.take(1) == Arms(ArmCounts(40, 0), ArmCounts(3, 3), weight=10)


def test_without_a_split_everything_is_stable(pages: Pages, url: str) -> None:
    pages.weight = 0
    opened = source(url)
    opened.begin(0, 0)
    pages.serve("web", 200, 4)
    assert opened.take(1) == Arms(ArmCounts(4, 0), None)


def test_no_route_of_ours_is_no_data(pages: Pages, url: str) -> None:
    pages.show = lambda: ""
    opened = source(url)
    opened.begin(0, 0)
    assert opened.take(1) == Arms(None, None)


def test_nobody_there_is_said() -> None:
    with pytest.raises(Unreachable, match=r"asking http://127\.0\.0\.1:1/metrics"):
        source("http://127.0.0.1:1").begin(0, 0)


def test_the_engine_s_state_folder_says_where_it_is(pages: Pages, url: str, tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "engine.json").write_text(json.dumps({"url": url}))
    metric = Metric.model_validate({"source": "embedded", "state": "engine"})
    options = Options.model_validate(dict(metric.options))
    opened = EmbeddedSource(options, MetricRequest("shop", "production", metric, tmp_path))
    opened.begin(0, 0)
    pages.serve("web", 200, 4)
    assert opened.take(1).stable == ArmCounts(4, 0)


def test_fresh_pods_of_the_stable_version_are_an_arm_of_their_own(pages: Pages, url: str) -> None:
    counting = source(url)
    pages.serve("web-baseline", 200, 0)
    counting.begin(0, 0)
    for backend, code, times in (("web", 200, 8), ("web-gray", 500, 2), ("web-baseline", 200, 2)):
        pages.serve(backend, code, times)
    assert counting.take(1) == Arms(ArmCounts(8, 0), ArmCounts(2, 2), 10, ArmCounts(2, 0))
