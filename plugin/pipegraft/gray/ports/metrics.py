"""Metric sources: what both versions showed while a gray release was observed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipegraft.core.delivery import Metric
from pipegraft.core.stage import Port
from pipegraft.gray.model.observation import ArmCounts

__all__ = ["METRICS", "Arms", "FakeSource", "MetricRequest", "MetricSource"]


@dataclass(frozen=True, slots=True)
class MetricRequest:
    """One metric of one environment, as a source is asked for it.

    Arguments:
        app: name of the application.
        environment: name of the environment.
        metric: what is to be measured; the keys that belong to the source are validated by it.
        root: folder of the source repository, for paths.
    """

    app: str
    environment: str
    metric: Metric
    root: Path


@dataclass(frozen=True, slots=True)
class Arms:
    """What both versions showed in one interval; None: there is no data.

    Arguments:
        stable: the version that serves now; while no gray release runs, everything that is served.
        gray: the version that is being released.
        weight: percent of the requests that the source itself saw meant for gray; None if it cannot tell.
    """

    stable: ArmCounts | None = None
    gray: ArmCounts | None = None
    weight: float | None = None


class MetricSource(Protocol):
    """One metric."""

    def begin(self, at: float, now: float) -> float:
        """Start to count.

        Arguments:
            at: seconds since the epoch when what is to be observed began.
            now: the present.

        Returns:
            From when it counts: `at` for a source that remembers, `now` for one that does not.

        Raises:
            Unreachable, AccessDenied: it did not answer or refused.
            UsageError: it does not know what it is asked for.
        """

    def take(self, until: float) -> Arms:
        """What was seen since the last call, of this or of `begin`.

        Arguments:
            until: the present.

        Raises:
            Unreachable, AccessDenied: it did not answer or refused; nothing is lost for the next call.
        """


METRICS: Port[[str], Mapping[str, MetricSource]] = Port("metric-sources")
"""The sources of an environment's gray metrics, by the metric's name."""


class FakeSource:
    """Shows scripted counts, one entry a look, the last one for ever.

    Arguments:
        script: what each interval showed; an exception is raised.
        remembers: whether it can look back.
    """

    def __init__(self, script: Sequence[Arms | Exception], *, remembers: bool = False) -> None:
        self._script = list(script)
        self._remembers = remembers
        self.windows: list[tuple[float, float]] = []
        self._from = 0.0

    def begin(self, at: float, now: float) -> float:
        self._from = at if self._remembers else now
        return self._from

    def take(self, until: float) -> Arms:
        found = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(found, Exception):
            raise found
        self.windows.append((self._from, until))
        self._from = until
        return found
