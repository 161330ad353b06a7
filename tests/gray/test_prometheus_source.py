"""Prometheus as a metric source: what is asked, and what each answer means."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from pipegraft.core.delivery import Metric
from pipegraft.core.errors import AccessDenied, Unreachable, UsageError
from pipegraft.gray.adapters.prometheus import Options, PrometheusSource
from pipegraft.gray.observation import ArmCounts, Histogram
from pipegraft.gray.ports import Arms, MetricRequest, MetricSource, RememberingSource
from pipegraft.testing.gray_suite import MetricSourceSuite, Play

REQUESTS = 'sum(increase(http_requests_total{app="{app}",version="{version}"}[{window}]))'
ERRORS = 'sum(increase(http_requests_total{app="{app}",version="{version}",code=~"5.."}[{window}]))'


class Server:
    """Answers queries by what they contain."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float, str]] = []
        self.ranges: list[tuple[float, ...]] = []
        self.answers: dict[str, Any] = {}
        self.status = 200

    def answer(self, query: str) -> dict[str, Any]:
        for part, found in self.answers.items():
            if part in query:
                return found if "status" in found else {"status": "success", "data": found}
        return {"status": "success", "data": vector()}


def vector(*series: tuple[dict[str, str], float | str]) -> dict[str, Any]:
    result = [{"metric": labels, "value": [1.0, str(value)]} for labels, value in series]
    return {"resultType": "vector", "result": result}


def matrix(*series: tuple[dict[str, str], list[tuple[float, float | str]]]) -> dict[str, Any]:
    result = [
        {"metric": labels, "values": [[time, str(value)] for time, value in pairs]}
        for labels, pairs in series
    ]
    return {"resultType": "matrix", "result": result}


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            query = form["query"][0]
            if self.path.endswith("query_range"):
                server.ranges.append(tuple(float(form[key][0]) for key in ("start", "end", "step")))
                query = f"range {query}"
            time = float(form.get("time", form.get("end", ["0"]))[0])
            server.asked.append((query, time, self.headers.get("Authorization", "")))
            self.send_response(server.status)
            self.end_headers()
            self.wfile.write(json.dumps(server.answer(query)).encode())

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def source(url: str, **metric: Any) -> PrometheusSource:
    declared = Metric.model_validate({"source": "prometheus", "url": url, **metric})
    options = Options.model_validate(dict(declared.options))
    return PrometheusSource(options, MetricRequest("shop", "production", declared, Path()))


_ODD: Sequence[Any] = (
    *(5, None, [], "x", {"status": "success"}, {"status": "success", "data": None}),
    *({"status": "success", "data": {"result": one}} for one in (5, [5], [{"value": [1]}], [{"metric": {}}])),
    *({"status": "success", "data": {"result": [{"metric": {}, "value": [1, one]}]}} for one in ("x", None)),
)


@pytest.mark.parametrize("answer", _ODD)
def test_an_answer_of_another_form_is_prometheus_failure(answer: Any, server: Server, url: str) -> None:
    server.answer = lambda _query: answer  # type: ignore[method-assign]
    with pytest.raises(Unreachable, match="expected an answer as its API promises"):
        source(url, requests="r", errors="e").take(1000.0)


class TestPrometheusSource(MetricSourceSuite):
    @pytest.fixture
    def play(self, server: Server, url: str) -> Play:
        def play(intervals: Sequence[Arms | None]) -> tuple[MetricSource, Callable[[], None]]:
            coming = iter(intervals)

            def happen() -> None:
                arms = next(coming)
                server.status = 503 if arms is None else 200
                server.answers = {}
                if arms is None:
                    server.answers[""] = {"status": "error", "errorType": "timeout", "error": "too slow"}
                    return
                for version, seen in (("stable", arms.stable), ("gray", arms.gray)):
                    assert seen
                    server.answers[f'version="{version}",code'] = vector(({}, seen.errors or 0))
                    server.answers[f'version="{version}"'] = vector(({}, seen.requests))

            return source(url, requests=REQUESTS, errors=ERRORS), happen

        return play


def test_the_window_lies_where_it_was_asked_for_and_both_versions_are_asked(server: Server, url: str) -> None:
    server.answers = {
        'version="stable",code': vector(({}, 3)),
        'version="gray",code': vector(),
        'version="stable"': vector(({}, 950.5)),
        'version="gray"': vector(({}, 49.5)),
    }
    opened = source(url, requests=REQUESTS, errors=ERRORS, lag="5s")
    assert opened.begin(at=1000.0, now=1300.0) == 1000.0
    assert opened.take(1300.0) == Arms(ArmCounts(950.5, 3), ArmCounts(49.5, 0))
    assert server.asked[0] == (
        'sum(increase(http_requests_total{app="shop",version="stable"}[300s]))', 1295.0, ""
    )  # fmt: skip
    opened.take(1360.0)
    assert "[60s]" in server.asked[-1][0]


@pytest.mark.parametrize(("absent", "errors"), [(False, None), (True, 0.0)])
def test_the_past_tells_apart_no_errors_and_no_series_of_errors(
    server: Server, url: str, absent: bool, errors: float | None
) -> None:
    server.answers = {
        'version="stable",code': vector(),
        'version="stable"': vector(({}, 950)),
        'version="gray",code': vector(({}, 0)),
        'version="gray"': vector(({}, 50)),
    }
    opened = source(url, requests=REQUESTS, errors=ERRORS, **{"errors-may-be-absent": absent})
    assert isinstance(opened, RememberingSource)
    opened.begin(at=86_000.0, now=86_400.0)
    assert opened.past(0.0, 86_400.0) == Arms(ArmCounts(950, errors), ArmCounts(50, 0))
    assert "[86400s]" in server.asked[-1][0]
    assert opened.take(86_460.0) == Arms(ArmCounts(950, 0), ArmCounts(50, 0))
    assert "[460s]" in server.asked[-1][0], "what is asked of the past changes nothing for the present"


def test_a_long_past_is_asked_in_as_many_steps_as_the_server_gives(server: Server, url: str) -> None:
    server.answers = {"range all": matrix(({}, [(0, 10), (86_400, 100)]))}
    opened = source(url, requests="all", errors="all", range="5s")
    assert isinstance(opened, RememberingSource)
    assert opened.past(0, 86_400).stable == ArmCounts(90, 90)
    assert server.ranges[-1] == (0, 86_400, 8.64)


def test_no_series_and_not_a_number_are_no_data(server: Server, url: str) -> None:
    server.answers = {'version="gray"': vector(({}, "NaN"))}
    opened = source(url, requests=REQUESTS, errors=ERRORS)
    opened.begin(0, 60)
    assert opened.take(60) == Arms(None, None)


def test_histograms_become_buckets(server: Server, url: str) -> None:
    buckets = [({"le": bound}, count) for bound, count in (("0.1", 80), ("+Inf", 100), ("0.5", 95))]
    server.answers = {"stable": vector(*buckets)}
    opened = source(url, kind="latency", threshold="500ms", buckets='x{v="{version}"}[{window}]')
    opened.begin(0, 60)
    stable = opened.take(60).stable
    assert stable
    assert stable.latency
    assert (stable.latency.bounds, stable.latency.counts) == ((0.1, 0.5), (80, 15, 5))


def test_plain_values_and_scalars(server: Server, url: str) -> None:
    server.answers = {"web-gray": {"resultType": "scalar", "result": [1, "2.5"]}}
    opened = source(url, kind="value", query='cpu{pod="web{suffix}"}')
    opened.begin(0, 60)
    assert opened.take(60) == Arms(None, ArmCounts(value=2.5))


def test_several_series_where_one_is_expected_are_wrong_usage(server: Server, url: str) -> None:
    server.answers = {"": vector(({"pod": "a"}, 1), ({"pod": "b"}, 2))}
    opened = source(url, requests=REQUESTS, errors=ERRORS)
    with pytest.raises(UsageError, match="expected one series, found 2"):
        opened.take(60)


def test_what_the_server_does_not_understand_is_wrong_usage(server: Server, url: str) -> None:
    server.status = 400
    server.answers = {"": {"status": "error", "errorType": "bad_data", "error": "parse error"}}
    with pytest.raises(UsageError, match="parse error"):
        source(url, requests=REQUESTS, errors=ERRORS).take(60)


def test_an_overloaded_server_may_be_asked_again(server: Server, url: str) -> None:
    server.status = 503
    server.answers = {"": {"status": "error", "errorType": "timeout", "error": "too slow"}}
    with pytest.raises(Unreachable, match="too slow"):
        source(url, requests=REQUESTS, errors=ERRORS).take(60)


def test_the_window_reaches_back_over_a_failed_look(server: Server, url: str) -> None:
    opened = source(url, requests=REQUESTS, errors=ERRORS)
    opened.begin(at=1000.0, now=1000.0)
    server.status = 503
    server.answers = {"": {"status": "error", "errorType": "timeout", "error": "too slow"}}
    with pytest.raises(Unreachable):
        opened.take(1060.0)
    server.status, server.answers = 200, {}
    opened.take(1120.0)
    assert "[120s]" in server.asked[-1][0]


def test_tokens_come_from_the_environment(server: Server, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = source(url, requests=REQUESTS, errors=ERRORS, **{"token-variable": "PROM_TOKEN"})
    with pytest.raises(AccessDenied, match="PROM_TOKEN holds no token"):
        opened.take(60)
    monkeypatch.setenv("PROM_TOKEN", "s3cret")
    opened.take(60)
    assert server.asked[-1][2] == "Bearer s3cret"
    server.status = 401
    with pytest.raises(AccessDenied, match="refused access") as caught:
        opened.take(60)
    assert "s3cret" not in str(caught.value)


def test_a_metric_without_its_query_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="kind 'errors' needs the query 'errors' or 'ratio'"):
        source("http://127.0.0.1:1", requests=REQUESTS)


def test_raw_counters_are_added_up_over_a_range_resets_and_new_instances_included(
    server: Server, url: str
) -> None:
    server.answers = {
        'range failed{v="stable"}': matrix(({"pod": "a"}, [(1000, 2), (1030, 2), (1060, 5)])),
        'range all{v="stable"}': matrix(
            ({"pod": "a"}, [(1000, 500), (1030, 530), (1060, 10)]),  # began anew in between
            ({"pod": "b"}, [(1030, 40), (1060, 70)]),  # came in between
        ),
    }
    opened = source(url, requests='all{v="{version}"}', errors='failed{v="{version}"}', range="30s")
    opened.begin(1000, 1000)
    assert opened.take(1060) == Arms(ArmCounts(30 + 10 + 70, 3), None)
    assert server.ranges[-1] == (1000, 1060, 30)


def test_a_window_that_is_no_multiple_of_the_step_is_asked_to_its_end(server: Server, url: str) -> None:
    server.answers = {
        "range all": matrix(({"pod": "a"}, [(1000, 10), (1030, 20)])),
        "all": vector(({"pod": "a"}, 24)),
    }
    opened = source(url, requests="all", errors="all", range="30s")
    opened.begin(1000, 1000)
    assert opened.take(1040).stable == ArmCounts(14, 14)


def test_histograms_over_a_range_are_added_up_by_bound(server: Server, url: str) -> None:
    series = [
        ({"le": bound, "pod": pod}, [(1000.0, 5.0), (1060.0, 5.0 + rise)])
        for pod in "ab"
        for bound, rise in (("0.1", 10), ("+Inf", 12))
    ]
    server.answers = {"range": matrix(*series)}
    opened = source(url, kind="latency", buckets="buckets", range="1m")
    opened.begin(1000, 1000)
    stable = opened.take(1060).stable
    assert stable
    assert stable.latency
    assert stable.latency.counts == (20, 4)


def test_of_a_value_over_a_range_the_mean_counts(server: Server, url: str) -> None:
    server.answers = {"range": matrix(({}, [(1000, 1), (1030, 3), (1060, "NaN")]))}
    opened = source(url, kind="value", query="cpu", range="30s")
    opened.begin(1000, 1000)
    assert opened.take(1060).stable == ArmCounts(value=2)


def test_a_ratio_counts_as_errors_and_none_is_no_data(server: Server, url: str) -> None:
    server.answers = {
        "share{stable}": vector(({}, 0.02)),
        "all": vector(({}, 500)),
    }
    opened = source(url, requests="all", ratio="share{{version}}")
    opened.begin(0, 60)
    assert opened.take(60) == Arms(ArmCounts(500, 10), None)


def test_workloads_may_have_names_of_their_own(server: Server, url: str) -> None:
    names = {"stable": "web-primary", "gray": "web"}
    opened = source(url, requests='a{w="{workload}"}', errors='b{w="{workload}"}', workload=names)
    opened.take(60)
    assert [query for query, _, _ in server.asked] == ['a{w="web-primary"}', 'a{w="web"}']
    with pytest.raises(ValueError, match="expected 'workload"):
        source(url, requests="a{workload}", errors="b")


def test_basic_authentication_takes_the_password_from_the_environment(
    server: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = {"user": "ann", "password-variable": "PROM_PASSWORD"}
    opened = source(url, requests=REQUESTS, errors=ERRORS, **who)
    with pytest.raises(AccessDenied, match="PROM_PASSWORD holds no password"):
        opened.take(60)
    monkeypatch.setenv("PROM_PASSWORD", "s3cret")
    opened.take(60)
    assert server.asked[-1][2] == "Basic YW5uOnMzY3JldA=="
    with pytest.raises(ValueError, match="'user' and 'password-variable' together"):
        source(url, requests=REQUESTS, errors=ERRORS, user="ann")
    with pytest.raises(ValueError, match="either 'token-variable' or 'user'"):
        source(url, requests=REQUESTS, errors=ERRORS, **who, **{"token-variable": "T"})


def test_authorities_that_cannot_be_read_are_wrong_usage(url: str) -> None:
    with pytest.raises(UsageError, match=r"expected certificate authorities in missing\.pem"):
        source(url, requests=REQUESTS, errors=ERRORS, ca="missing.pem").take(60)


def test_two_metrics_may_ask_two_servers(url: str) -> None:
    elsewhere = source("http://127.0.0.1:1", requests=REQUESTS, errors=ERRORS)
    source(url, requests=REQUESTS, errors=ERRORS).take(60)
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        elsewhere.take(60)


def test_stables_pods_are_told_apart_by_one_more_label(server: Server, url: str) -> None:
    times = [(60.0 * at, 10.0) for at in range(4)]
    server.answers = {
        "5..": matrix(({"pod": "web-1"}, [(at, 1.0) for at, _ in times])),
        "": matrix(({"pod": "web-1"}, times), ({"pod": "web-2"}, times), ({}, times)),
    }
    opened = source(url, requests=REQUESTS, errors=ERRORS)
    rows = opened.pods(0, 180, 60)
    assert rows == [{"web-1": ArmCounts(10, 1), "web-2": ArmCounts(10, 0)}] * 3
    assert all(query.startswith("range sum by (pod) (increase(") for query, *_ in server.asked[-2:])
    opened = source(url, requests=REQUESTS, errors=ERRORS, range="15s")
    assert opened.pods(0, 180, 60)[0]["web-1"] == ArmCounts(0, 0), "of raw counters what they rose by"
    assert source(url, requests="max(rate(x[{window}]))", errors=ERRORS).pods(0, 180, 60) == []


def test_series_of_one_pod_are_added(server: Server, url: str) -> None:
    series = [
        ({"pod": "web-1", "code": code}, [(0.0, 5.0), (60.0, 5.0 + n)])
        for code, n in (("500", 3), ("503", 4))
    ]
    server.answers = {"5..": matrix(*series), "": matrix(({"pod": "web-1"}, [(0.0, 0.0), (60.0, 90.0)]))}
    errors = 'sum by (code) (requests_total{code=~"5.."})'
    (row,) = source(url, requests="sum(requests_total)", errors=errors, range="15s").pods(0, 60, 60)
    assert row == {"web-1": ArmCounts(90, 7)}


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("sum(rate(x[1m])) by (le)", "sum by (pod, le) (rate(x[1m]))"),
        ("sum(rate(x[1m])) by (pod, le) ", "sum by (pod, le) (rate(x[1m]))"),
        ('sum(x{path=~"/a(b)?)"}) or vector(0)', 'sum by (pod) (x{path=~"/a(b)?)"})'),
        ("sum(x) / sum(y)", ""),
        ("sum(x) by (le) > 3", ""),
        ("sum without (le) (x)", ""),
    ],
)  # fmt: skip
def test_only_a_whole_sum_is_told_by_pod(query: str, asked: str, server: Server, url: str) -> None:
    source(url, kind="latency", buckets=query).pods(0, 60, 60)
    assert [one for one, *_ in server.asked] == ([f"range {asked}"] if asked else [])


def test_latencies_of_pods_keep_their_bounds(server: Server, url: str) -> None:
    series = [
        ({"pod": "web-1", "le": bound}, [(0.0, n), (60.0, n)]) for bound, n in (("0.1", 6), ("+Inf", 8))
    ]
    server.answers = {"": matrix(*series)}
    opened = source(url, kind="latency", buckets="sum by (le) (increase(x_bucket[{window}]))")
    (row,) = opened.pods(0, 60, 60)
    assert row["web-1"].latency == Histogram((0.1,), (6, 2))
    assert server.asked[-1][0].startswith("range sum by (pod, le) (increase(")
