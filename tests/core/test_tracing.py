"""Traces, as a collector receives them from the command line."""

from __future__ import annotations

import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pipegraft.core.adapters.spans import StageTrace
from pipegraft.core.adapters.tracing import traces_wanted
from pipegraft.core.errors import RolledBack, UsageError
from pipegraft.core.ports import Event
from pipegraft.core.release import Source

SHOP = Path(__file__).parents[2] / "examples" / "shop"
SOURCE = Source(commit="1" * 40, number=7, pipeline="https://ci.example.com/7")


class Collector(http.server.ThreadingHTTPServer):
    """Keeps every span it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receive)
        self.requests: list[ExportTraceServiceRequest] = []

    @property
    def spans(self) -> dict[str, object]:
        return {
            span.name: span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }


class Receive(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def run_build(tmp_path: Path, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    shop = tmp_path / "shop"
    shutil.copytree(SHOP, shop, ignore=shutil.ignore_patterns(".pipegraft"))
    git = ["git", "-C", str(shop), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("CI", "OTEL_"))}
    return subprocess.run(
        [sys.executable, "-m", "pipegraft", "run", "image-build"],
        cwd=shop,
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_sends_a_span_for_the_stage_and_one_for_each_component(
    tmp_path: Path, collector: Collector
) -> None:
    done = run_build(
        tmp_path,
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_address[1]}",
            "TRACEPARENT": f"00-{'a' * 32}-{'b' * 16}-01",
        },
    )
    assert done.returncode == 0, done.stderr
    spans = collector.spans
    assert {"image-build", "web", "pricing", "governance"} == set(spans)
    stage = spans["image-build"]
    assert (stage.trace_id.hex(), stage.parent_span_id.hex()) == ("a" * 32, "b" * 16)
    assert {spans[name].parent_span_id for name in ("web", "pricing", "governance")} == {stage.span_id}
    names = {attribute.key for attribute in collector.requests[0].resource_spans[0].resource.attributes}
    assert {"service.name", "service.version"} <= names


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "expected otlp or none, found 'zipkin'"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}, ""),
    ],
    ids=["an exporter that is not there", "a collector that does not answer"],
)
def test_what_is_wrong_with_traces_does_not_stop_a_delivery(
    tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    done = run_build(tmp_path, variables)
    assert done.returncode == 0, done.stderr
    assert said in done.stderr


def test_nothing_is_imported_where_nobody_asks(tmp_path: Path) -> None:
    code = (
        "import sys, pipegraft.core.adapters.tracing as t; assert not t.traces_wanted({});"
        "assert not any(name.startswith('opentelemetry') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
    ],
)
def test_the_standard_variables_decide(variables: dict[str, str], wanted: bool) -> None:
    assert traces_wanted(variables) is wanted


def test_a_protocol_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="expected http/protobuf, found 'grpc'"):
        traces_wanted({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})


def traced(*events: Event, error: Exception | None = None) -> dict[str, ReadableSpan]:
    exporter = InMemorySpanExporter()
    trace = StageTrace("shop", SOURCE, {}, exporter)
    trace.start("gray-release", "production")
    for event in events:
        trace.note(event)
    trace.finish(error)
    return {span.name: span for span in exporter.get_finished_spans()}


def test_each_step_of_a_gray_release_is_a_span_with_what_the_judge_said_in_it() -> None:
    spans = traced(
        Event("commit", "step 1/2: 5%", "production", {"step": "step 1/2", "commit": "c1"}),
        Event("judgement", "5%: pass: fine", "production", {"weight": 5, "answer": "pass"}),
        Event("commit", "step 2/2: 50%", "production", {"step": "step 2/2", "commit": "c2"}),
        Event("judgement", "50%: fail: more errors", "production", {"weight": 50, "answer": "fail"}),
        Event("commit", "rollback: more errors", "production", {"step": "rollback", "commit": "c3"}),
        error=RolledBack("release 7 was rolled back", fix="see commit c3"),
    )
    assert list(spans) == ["step 1/2", "step 2/2", "rollback", "gray-release production"]
    second = spans["step 2/2"]
    assert [(one.name, one.attributes["answer"]) for one in second.events] == [("judgement", "fail")]
    stage = spans["gray-release production"]
    assert (stage.status.status_code.name, stage.status.description) == ("ERROR", "release 7 was rolled back")
    assert stage.attributes["deployment.environment.name"] == "production"
    assert stage.attributes["vcs.ref.head.revision"] == SOURCE.commit


def test_every_process_of_a_pipeline_joins_the_same_trace() -> None:
    first, second = traced(), traced()
    stage = "gray-release production"
    assert first[stage].context.trace_id == second[stage].context.trace_id
    assert first[stage].context.span_id != second[stage].context.span_id


def test_a_component_that_fails_to_build_is_a_failed_span() -> None:
    spans = traced(
        Event("progress", "building", "web"),
        Event("failed", "web: exit code 2", "web", {"log": ["no such file"]}),
    )
    assert (spans["web"].status.status_code.name, spans["web"].status.description) == (
        "ERROR",
        "web: exit code 2",
    )
