"""Watching a version after its promotion, when there is no stable version beside it any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipegraft.domain.gray.record import add_counts
from pipegraft.errors import OutsideError
from pipegraft.model.judgement import Judgement, JudgePolicy
from pipegraft.model.observation import ArmCounts, Observation
from pipegraft.ports.judge import Judge
from pipegraft.ports.metrics import MetricSource

__all__ = ["GrayBake"]


class GrayBake:
    """Judges what serves now against what stable showed while it was still there.

    The two were not observed at the same time, so a disturbance that hits everything is not told from a
    regression: the price of looking after the fact. All that is served counts as one growing interval.

    Arguments:
        sources: metric name → its source.
        baseline: metric name → what stable showed during the steps.
        start: when the promotion was live, seconds since the epoch.
    """

    def __init__(
        self,
        sources: Mapping[str, MetricSource],
        judge: Judge,
        policy: JudgePolicy,
        baseline: Mapping[str, ArmCounts],
        start: float,
    ) -> None:
        self._sources = sources
        self._judge = judge
        self._policy = replace(policy, deadline=None)
        self._baseline = baseline
        self._served: dict[str, ArmCounts] = {}
        self._start = start

    def begin(self, now: float) -> float:
        """Start to count; answers from when on the sources know what was served."""
        return max(source.begin(self._start, now) for source in self._sources.values())

    def look(self, now: float) -> Judgement:
        """Judge everything served until now; a source that does not answer adds nothing."""
        for name, source in self._sources.items():
            try:
                counts = source.take(now).stable
            except OutsideError:
                continue
            if counts is not None:
                served = self._served.get(name)
                self._served[name] = add_counts(served, counts) if served else counts
        end = max(now, self._start + 0.001)  # the clock of whoever committed may be ahead of ours
        return self._judge(self._policy, [Observation(self._start, end, 50, self._baseline, self._served)])
