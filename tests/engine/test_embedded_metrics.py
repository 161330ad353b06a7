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
from pipegraft.gray.ports import Arms, MetricRequest, MetricSource, PodSource
from pipegraft.testing.gray_suite import MetricSourceSuite, Play


class Pages:
    """A server of whatever the proxy would show."""

    def __init__(self) -> None:
        self.now = 6_000.0
        self.metrics = ProxyMetrics(lambda: self.now)
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
        self,
        backend: str,
        code: int,
        times: int,
        *,
        seconds: float = 0.01,
        app: str = "shop-production",
        instance: str = "10.0.0.1:80",
    ) -> None:
        self.metrics.know(self.routes)
        for _ in range(times):
            self.metrics.began(f"{app}/web", backend)
            self.metrics.ended(f"{app}/web", backend, code, seconds, instance)


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def url(pages: Pages) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown = {"/metrics": pages.show, "/instances": pages.metrics.instances}.get(self.path)
            self.send_response(503 if pages.down else 200 if shown else 404)
            self.end_headers()
            self.wfile.write(shown().encode() if shown else b"")

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


def test_stable_s_instances_are_told_apart_minute_by_minute(pages: Pages, url: str) -> None:
    assert isinstance(source(url), PodSource)
    for minute in range(4):
        pages.now = 6_000.0 + 60 * minute
        for instance, failed in (("10.0.0.1:80", minute), ("10.0.0.2:80", 0)):
            pages.serve("web", 200, 9 - failed, instance=instance)
            pages.serve("web", 503, failed, instance=instance)
        pages.serve("web-gray", 500, 5, instance="10.0.0.3:80")
        pages.serve("web", 500, 5, app="shop-staging")
        pages.serve("web", 502, 1, instance="")
    assert source(url).pods(6_000, 6_240, 120) == [
        {"10.0.0.1:80": ArmCounts(18, 1), "10.0.0.2:80": ArmCounts(18, 0)},
        {"10.0.0.1:80": ArmCounts(18, 5), "10.0.0.2:80": ArmCounts(18, 0)},
    ]
    assert len(source(url).pods(6_060, 6_179, 60)) == 1, "a minute that is cut is left out"
    assert source(url).pods(6_000, 6_240, 30) == [], "finer than a minute nobody counts"
    (slow, *_) = source(url, kind="latency").pods(6_000, 6_240, 60)
    assert slow["10.0.0.1:80"].latency
    assert (slow["10.0.0.1:80"].requests, slow["10.0.0.1:80"].latency.slower_than(0.005)) == (9, 9)
    assert slow["10.0.0.1:80"].latency.slower_than(0.01) == 0


def test_what_instances_answered_is_kept_for_a_day_and_never_grows_beyond_bounds(
    pages: Pages, url: str
) -> None:
    pages.serve("web", 200, 1)
    pages.now += 86_400
    for number in range(10_050):
        pages.metrics.ended("shop-production/web", "web", 200, 0.1, f"10.0.0.1:{number}")
    (shown,) = source(url).pods(0, 1e6, 60)
    assert len(shown) == 10_000
    assert "10.0.0.1:10049" in shown


def test_a_proxy_that_tells_no_instances_apart_is_said(pages: Pages, url: str) -> None:
    pages.down = True
    with pytest.raises(Unreachable, match="503"):
        source(url).pods(0, 1e6, 60)
    pages.down = False
    pages.metrics.instances = lambda: '{"rows": 1}'  # type: ignore[method-assign]
    with pytest.raises(Unreachable, match="the proxy's page of instances"):
        source(url).pods(0, 1e6, 60)
