"""OpenTelemetry traces: a span for each stage and for each of its steps.

Nothing happens unless the standard variables ask for traces, and nothing is imported before that.
Sources: OpenTelemetry's specifications of its environment variables, of the OTLP exporter and of
``TRACEPARENT`` as the carrier between processes; the semantic conventions for CI/CD and VCS.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Protocol

from pipegraft.core.errors import UsageError
from pipegraft.core.plugins import hookimpl
from pipegraft.core.ports import Event
from pipegraft.core.release import Source
from pipegraft.core.stage import Stage, StageContext

__all__ = [
    "pipegraft_event",
    "pipegraft_stage_finished",
    "pipegraft_stage_starting",
    "traces_wanted",
]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")


def traces_wanted(variables: Mapping[str, str]) -> bool:
    """Whether the standard variables ask for traces.

    Raises:
        UsageError: they ask for an exporter or a protocol that is not there.
    """
    if variables.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = variables.get("OTEL_TRACES_EXPORTER", "")
    if exporter == "none" or not (exporter or any(variables.get(name) for name in _ENDPOINTS)):
        return False
    if exporter not in ("", "otlp"):
        raise UsageError(
            f"OTEL_TRACES_EXPORTER: expected otlp or none, found {exporter!r}", fix="export to a collector"
        )
    for name in _PROTOCOLS:
        if variables.get(name, "http/protobuf") != "http/protobuf":
            raise UsageError(
                f"{name}: expected http/protobuf, found {variables[name]!r}",
                fix="use the collector's HTTP port, 4318 as a rule",
            )
    return True


class _Trace(Protocol):
    """The spans of a pipeline, by OpenTelemetry's SDK: an optional extra of the package."""

    subject: tuple[str, Source]

    def start(self, stage: str, environment: str | None) -> None: ...

    def note(self, event: Event) -> None: ...

    def finish(self, error: Exception | None) -> None: ...


_running: _Trace | None = None


@hookimpl
def pipegraft_stage_starting(context: StageContext, stage: Stage) -> None:
    """Opens the stage's span, where traces are asked for."""
    global _running  # noqa: PLW0603 - hooks are functions: what they share must live here
    if not traces_wanted(os.environ):
        return
    subject = (context.delivery.app, context.releases.load().source)
    if _running is None or _running.subject != subject:
        _running = _open_trace(*subject)
    _running.start(stage.name, context.environment)


@hookimpl
def pipegraft_event(event: Event) -> None:
    """Notes what the stage reports."""
    if _running is not None:
        _running.note(event)


@hookimpl
def pipegraft_stage_finished(error: Exception | None) -> None:
    """Closes the stage's span and exports it."""
    if _running is not None:
        _running.finish(error)


def _open_trace(app: str, source: Source) -> _Trace:
    (found,) = entry_points(group="pipegraft_tracers", name="otlp")
    try:
        opened: _Trace = found.load()(app, source, os.environ)
    except ImportError as error:
        raise UsageError(
            f"traces are asked for by OTEL_ variables, but OpenTelemetry is not installed: {error.name}",
            fix="pip install 'pipegraft[otel]', or unset the variables",
        ) from error
    return opened
