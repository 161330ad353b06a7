"""Watching a version after its promotion, when there is no stable version beside it any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf

from pipegraft.core.delivery import Gray
from pipegraft.core.errors import OutsideError
from pipegraft.core.stage import StageContext
from pipegraft.gray.history import Chapter
from pipegraft.gray.machine import Do
from pipegraft.gray.model.judgement import Answer, Judgement, JudgePolicy
from pipegraft.gray.model.observation import ArmCounts, Observation
from pipegraft.gray.policy import judge_policy
from pipegraft.gray.ports.judge import JUDGE, Judge
from pipegraft.gray.ports.metrics import METRICS, MetricSource
from pipegraft.gray.record import part_of, total

__all__ = ["Baked", "GrayBake", "watch_promoted"]


@dataclass(frozen=True, slots=True)
class Baked:
    """How a process's part of the watching ended.

    Arguments:
        over: whether nothing is left to watch; else a later process goes on.
        regression: what the judge said, if what was promoted is worse than what was there.
    """

    over: bool
    regression: Judgement | None = None


def watch_promoted(
    context: StageContext, gray: Gray, chapter: Chapter, *, wait: bool, stands: Callable[[], bool]
) -> Baked:
    """Watch a release for the time after its promotion that the environment asks for.

    Arguments:
        gray: how the environment declares its gray releases.
        chapter: the release's commits, the promotion last.
        wait: stay until the time is over; else do what is due.
        stands: whether the release is still what serves.
    """
    clock, environment = context.clock, context.require_environment()
    if chapter.last_step != Do.PROMOTE or not chapter.observed:
        context.report("warning", "nothing to compare with was observed: no bake", environment)
        return Baked(over=True)
    promoted = chapter.commits[0].time
    end = promoted + gray.bake
    baseline = total(chapter.observed).stable
    sources, judge = context.open(METRICS, environment), context.open(JUDGE, environment)
    bake = GrayBake(sources, judge, judge_policy(gray), baseline, promoted)
    now = clock.now()
    remembers = bake.begin(now) < now
    while clock.now() < end:
        if wait or not remembers:
            clock.sleep(min(gray.interval, max(0.0, end - clock.now())))
        if not stands():
            break
        judgement = bake.look(clock.now(), gray.interval)
        context.report("judgement", f"bake: {judgement.answer}: {judgement.reason}", environment)
        if judgement.answer is Answer.FAIL:
            return Baked(over=True, regression=judgement)
        if not wait and clock.now() < end:
            return Baked(over=False)
    return Baked(over=True)


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
        self._policy = replace(policy, deadline=None, warm_up=0.0)
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
