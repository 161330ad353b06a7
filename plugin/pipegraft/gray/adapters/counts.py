"""Counts that somebody else keeps: in a JSON file, or printed by a command.

Both give the totals of each version, which only rise::

    {"stable": {"requests": 9000, "errors": 11}, "gray": {"requests": 1000, "errors": 2}}

Fresh pods of the stable version (``baseline: fresh``) stand beside them as ``baseline``. With ``kind: value``
each version has ``{"value": 1.5}`` instead. A version that is missing has no data.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import Field

from pipegraft.core.errors import Unreachable, UsageError
from pipegraft.core.faults import read_json
from pipegraft.core.model import Duration, Model, RelativePath
from pipegraft.core.plugins import hookimpl
from pipegraft.gray.hooks import MetricSourcePlugin
from pipegraft.gray.observation import ArmCounts, increase
from pipegraft.gray.ports import Arms, MetricRequest

__all__ = ["CommandOptions", "CountsSource", "FileOptions", "pipegraft_metric_sources"]


class FileOptions(Model):
    """Keys of a metric with ``source: json``."""

    path: RelativePath
    """The file, relative to `delivery.yaml`."""


class CommandOptions(Model):
    """Keys of a metric with ``source: command``."""

    command: tuple[str, ...] = Field(min_length=1)
    """The program and its arguments, run in the folder of `delivery.yaml`; no shell."""
    timeout: Duration = 30.0
    """How long it may take."""


class _Totals(Model):
    requests: float | None = Field(default=None, ge=0)
    errors: float | None = Field(default=None, ge=0)
    value: float | None = None


class _Both(Model):
    stable: _Totals | None = None
    gray: _Totals | None = None
    baseline: _Totals | None = None


class CountsSource:
    """Differences between two readings of totals.

    Arguments:
        name: of the source, for messages.
        read: answers the JSON text.
    """

    def __init__(self, name: str, read: Callable[[], str]) -> None:
        self._name = name
        self._read = read
        self._before = _Both()

    def begin(self, at: float, now: float) -> float:  # noqa: ARG002 - it does not remember
        """Read the totals; what happened before is not known here."""
        self._before = self._totals()
        return now

    def take(self, until: float) -> Arms:  # noqa: ARG002 - the present is all there is
        """What rose since the last reading."""
        before, after = self._before, self._totals()
        self._before = after
        return Arms(
            _difference(before.stable, after.stable),
            _difference(before.gray, after.gray),
            baseline=_difference(before.baseline, after.baseline),
        )

    def _totals(self) -> _Both:
        found = read_json(_Both, self._read())
        if found.known is None or found.faults:
            first = found.faults[0]
            where = ".".join(map(str, first.route)) or "the whole"
            raise UsageError(
                f"metric source '{self._name}': expected totals of stable and gray as JSON; "
                f"{where}: {first.message}",
                fix='write {"stable": {"requests": 90, "errors": 1}, "gray": {"requests": 10, "errors": 2}}',
            )
        return found.known


def _difference(before: _Totals | None, after: _Totals | None) -> ArmCounts | None:
    if after is None:
        return None
    if after.value is not None:
        return ArmCounts(value=after.value)
    counts = increase(_counts(before), _counts(after))
    if "requests" not in counts:
        return None
    return ArmCounts(counts["requests"], errors=counts.get("errors", 0.0))


def _counts(totals: _Totals | None) -> dict[str, float]:
    pairs: dict[str, Any] = totals.model_dump(exclude_none=True) if totals else {}
    return {name: float(number) for name, number in pairs.items()}


def _open_file(options: FileOptions, request: MetricRequest) -> CountsSource:
    path = request.root / options.path

    def read() -> str:
        try:
            return path.read_text("utf-8")
        except OSError as error:
            raise Unreachable(f"metric source 'json': {path} cannot be read: {error.strerror}") from None

    return CountsSource("json", read)


def _open_command(options: CommandOptions, request: MetricRequest) -> CountsSource:
    def read() -> str:
        try:
            done = subprocess.run(
                options.command,
                cwd=request.root,
                timeout=options.timeout,
                capture_output=True,
                text=True,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", None) or "").strip()
            raise Unreachable(f"metric source 'command': {error}{f': {said}' if said else ''}") from None
        return done.stdout

    return CountsSource("command", read)


@hookimpl
def pipegraft_metric_sources() -> Iterable[MetricSourcePlugin]:
    yield MetricSourcePlugin(name="json", options=FileOptions, connect=_open_file, baseline=True)
    yield MetricSourcePlugin(name="command", options=CommandOptions, connect=_open_command, baseline=True)
