"""Watching a version after its promotion, when there is no stable version beside it any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf

from pipegraft.domain.gray.record import part_of
from pipegraft.errors import OutsideError
from pipegraft.model.judgement import Judgement, JudgePolicy
from pipegraft.model.observation import ArmCounts, Observation
from pipegraft.ports.judge import Judge
from pipegraft.ports.metrics import MetricSource

__all__ = ["GrayBake"]


class GrayBake:
    """Judges what serves now against what stable showed while it was still there.

    The two were not observed at the same time, so a disturbance that hits everything is not told from a
    regression: the price of looking after the fact. Each interval is compared with an equal part of the
    baseline, so that judges can tell a burst from a regression by its duration.

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
        self._served: list[tuple[float, float, dict[str, ArmCounts]]] = []
        self._start = start
        self._end = start

    def begin(self, now: float) -> float:
        """Start to count; answers from when on the sources know what was served."""
        self._end = max(source.begin(self._start, now) for source in self._sources.values())
        return self._end

    def look(self, now: float, interval: float = inf) -> Judgement:
        """Judge everything served until now; a source that does not answer adds nothing.

        Arguments:
            now: the present.
            interval: seconds between two looks; what is further behind is observed in such intervals.
        """
        while now - self._end >= 2 * interval:
            self._observe(self._end + interval)
        self._observe(max(now, self._end + 0.001))  # the clock of whoever committed may be ahead of ours
        part = 1 / len(self._served)
        baseline = {name: part_of(counts, part) for name, counts in self._baseline.items()}
        observations = [Observation(start, end, 50, baseline, served) for start, end, served in self._served]
        return self._judge(self._policy, observations)

    def _observe(self, until: float) -> None:
        served: dict[str, ArmCounts] = {}
        for name, source in self._sources.items():
            try:
                counts = source.take(until).stable
            except OutsideError:
                continue
            if counts is not None:
                served[name] = counts
        self._served.append((self._end, until, served))
        self._end = until
