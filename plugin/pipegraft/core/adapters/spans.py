"""The spans of a pipeline's stages, by OpenTelemetry's SDK: an optional extra of the package."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Span, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pipegraft import __version__
from pipegraft.core.errors import PipegraftError
from pipegraft.core.foreign_text import redacted
from pipegraft.core.ports import Event
from pipegraft.core.release import Source

__all__ = ["StageTrace"]

_PATIENCE = 3.0
"""Seconds that a collector may hold up the end of a stage, unless ``OTEL_EXPORTER_OTLP_TIMEOUT`` says so."""
_NOTED = frozenset({"commit", "verdict", "judgement", "warning"})
"""Kinds of events that a span keeps; heartbeats are left out."""


class StageTrace:
    """The spans of the stages that one process runs.

    All processes of one pipeline share a trace: the one that ``TRACEPARENT`` names, else one whose
    identity follows from the application and the pipeline.

    Arguments:
        app: name of the application.
        source: which release; its pipeline gives the trace its identity.
        variables: the process's environment.
        exporter: where spans go; by OTLP over HTTP, as the standard variables say, if None.
    """

    def __init__(
        self, app: str, source: Source, variables: Mapping[str, str], exporter: SpanExporter | None = None
    ) -> None:
        self.subject = (app, source)
        self._app = app
        self._source = source
        self._lock = threading.Lock()
        self._provider = _provider(app, source, exporter)
        self._tracer: Tracer = self._provider.get_tracer("pipegraft", __version__)
        self._parent = _parent(variables)
        self._stage: Span | None = None
        self._steps: dict[str, Span] = {}

    def start(self, stage: str, environment: str | None) -> None:
        """Open the span of a stage."""
        attributes: dict[str, str | int] = {
            "cicd.pipeline.name": self._app,
            "cicd.pipeline.task.name": stage,
            "pipegraft.release": self._source.number,
            "vcs.ref.head.revision": self._source.commit,
        }
        if self._source.pipeline:
            attributes["cicd.pipeline.run.id"] = self._source.pipeline
        if environment:
            attributes["deployment.environment.name"] = environment
        name = f"{stage} {environment}" if environment else stage
        with self._lock:
            self._stage = self._tracer.start_span(name, self._parent, attributes=attributes)

    def note(self, event: Event) -> None:
        """Put an event where it belongs: a step of a gray release, a component's build, or the stage."""
        with self._lock:
            if self._stage is None:
                return
            step = event.data.get("step")
            if event.kind == "commit" and step:
                self._end_step(event.subject)
                self._open_step(event.subject, str(step))
            elif event.kind == "progress":
                if event.subject and event.subject not in self._steps:
                    self._open_step(event.subject, event.subject)
            elif event.kind in _NOTED:
                span = self._steps.get(event.subject, self._stage)
                span.add_event(event.kind, {"message": event.message, **_plain(event.data)})
            elif event.kind not in ("started", "finished"):
                self._end_step(event.subject, event)

    def finish(self, error: Exception | None) -> None:
        """Close the span of the stage and hand everything over."""
        with self._lock:
            for subject in list(self._steps):
                self._end_step(subject)
            if self._stage is None:
                return
            if error is not None:
                _fail(self._stage, _message(error))
                self._stage.set_attribute("error.type", type(error).__name__)
            self._stage.end()
            self._stage = None
        self._provider.force_flush(int(_PATIENCE * 1000))

    def _open_step(self, subject: str, name: str) -> None:
        assert self._stage is not None  # noqa: S101 - asked by `note`
        self._steps[subject] = self._tracer.start_span(name, set_span_in_context(self._stage))

    def _end_step(self, subject: str, last: Event | None = None) -> None:
        span = self._steps.pop(subject, None)
        if span is None:
            return
        if last is not None:
            span.set_attributes({f"pipegraft.{key}": value for key, value in _plain(last.data).items()})
            if last.kind == "failed":
                _fail(span, last.message)
        span.end()


def _provider(app: str, source: Source, exporter: SpanExporter | None) -> TracerProvider:
    class OnePipeline(RandomIdGenerator):
        """Every process of a pipeline finds the same trace."""

        def generate_trace_id(self) -> int:
            words = f"pipegraft\0{app}\0{source.pipeline}\0{source.number}\0{source.commit}"
            return int.from_bytes(hashlib.sha256(words.encode()).digest()[:16], "big")

    resource = Resource.create(
        {"service.name": os.environ.get("OTEL_SERVICE_NAME", "pipegraft"), "service.version": __version__}
    )
    provider = TracerProvider(resource=resource, id_generator=OnePipeline())
    provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter(timeout=_patience())))
    return provider


def _patience() -> float | None:
    return None if "OTEL_EXPORTER_OTLP_TIMEOUT" in os.environ else _PATIENCE  # None: as the variable says


def _parent(variables: Mapping[str, str]) -> Context:
    carrier = {name.lower(): variables[name] for name in ("TRACEPARENT", "TRACESTATE") if name in variables}
    return TraceContextTextMapPropagator().extract(carrier)


def _fail(span: Span, message: str) -> None:
    span.set_status(StatusCode.ERROR, redacted(message))


def _message(error: Exception) -> str:
    return error.problem.message if isinstance(error, PipegraftError) else str(error)


def _plain(data: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """What a span can hold: numbers, words, truths."""
    return {key: value for key, value in data.items() if isinstance(value, (str, int, float, bool))}
