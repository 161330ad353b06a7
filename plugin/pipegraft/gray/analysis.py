"""Watching a gray release, at its weights and after its promotion, and what the judge says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from statistics import median, median_low
from typing import Any

from pipegraft.core.delivery import Gray
from pipegraft.core.errors import OutsideError, PipegraftError, UsageError
from pipegraft.core.ports import Event, Progress
from pipegraft.core.stage import StageContext
from pipegraft.gray.history import Chapter, Span
from pipegraft.gray.judgement import Answer, Judgement, JudgePolicy, MetricPolicy, judge_policy
from pipegraft.gray.judging.hypotheses import USUAL_MEMORY
from pipegraft.gray.judging.metric_state import NEAR, OUTAGE, OUTAGE_FLOOR
from pipegraft.gray.judging.readings import point
from pipegraft.gray.judging.sequential import marked_cold, present_step
from pipegraft.gray.machine import Do
from pipegraft.gray.observation import ArmCounts, Observation, part_of, total
from pipegraft.gray.ports import JUDGE, METRICS, Arms, Judge, MetricSource
from pipegraft.gray.views import look_sentence

__all__ = ["Baked", "GrayBake", "GrayWatch", "together", "watch_promoted"]


class GrayWatch:
    """Observations of one gray release, one interval after another.

    Arguments:
        sources: metric name → its source.
        judge: judges by everything observed so far.
        policy: what is expected.
        earlier: what was observed at the weights before, by whoever drove the release then.
        progress: told when a source gives no data.
        fresh: whether gray is compared with fresh pods of the stable version.
        mismatch: what is wrong with how the requests of a step's intervals are split; empty if nothing is.
    """

    def __init__(
        self,
        sources: Mapping[str, MetricSource],
        judge: Judge,
        policy: JudgePolicy,
        earlier: Sequence[Observation],
        progress: Progress,
        *,
        fresh: bool = False,
        mismatch: Callable[[Sequence[Observation]], str] = lambda _step: "",
    ) -> None:
        self._sources = sources
        self._judge = judge
        self._policy = policy
        self._progress = progress
        self._mismatch = mismatch
        self._fresh = fresh
        self._earlier = list(earlier)
        self._silent: dict[str, str] = {}
        self._counting: set[str] = set()
        self._end = 0.0
        self.step: list[Observation] = []
        """What was observed at the present weight."""

    def recall(self, span: Span, interval: float, now: float) -> None:
        """Observe a time that is behind us, if every source remembers it and nobody has observed it.

        Arguments:
            span: when, and the weight then.
            interval: seconds between two looks.
            now: the present.
        """
        missed = _gaps(span, self._earlier)
        for start, end in missed:
            self.begin(start, now)
            if self._end == start:
                while end - self._end >= 2 * interval:
                    self._observe(span.weight, self._end + interval)
                self._observe(span.weight, end)
        self._earlier = together(self._earlier, self.step)
        self.step = []

    def begin(self, at: float, now: float) -> None:
        """Start with a new weight.

        Arguments:
            at: when it came into force, seconds since the epoch.
            now: the present.
        """
        self._earlier = together(self._earlier, self.step)
        self.step = []
        self._counting = set()
        starts = {name: self._begin(name, at, now) for name in self._sources}
        self._end = max(starts.values())
        for name, start in starts.items():
            if start < self._end:  # one source remembers what another one does not: all begin together
                self._begin(name, self._end, now)

    def _begin(self, name: str, at: float, now: float) -> float:
        try:
            start = self._sources[name].begin(at, now)
        except (OutsideError, UsageError) as error:
            self._tell(name, error)
            return now
        self._counting.add(name)
        return start

    def keep(self, seen: Sequence[Observation]) -> None:
        """Take over what another process saw at the present weight, before what is observed from here on."""
        self.step = [one for one in seen if one.end <= self._end]

    @property
    def end(self) -> float:
        """End of what was observed, seconds since the epoch."""
        return self._end

    def look(self, weight: float, now: float, interval: float = inf) -> Judgement:
        """Observe up to now, and judge.

        Arguments:
            weight: percent of the requests that gray should get.
            now: the present.
            interval: seconds between two looks; what is further behind is observed in such intervals, as
                whoever watched before would have: judges tell a burst from a regression by its duration.
        """
        while now - self._end >= 2 * interval:
            self._observe(weight, self._end + interval)
        self._observe(weight, now)
        try:
            judgement = self._judge(self._policy, self.observations)
        except UsageError as error:
            return self._undecidable(f"the judge cannot use what was observed: {error.problem.message}")
        mismatch = self._mismatch([one for one in self.observations if one.weight == weight])
        if not mismatch:
            return judgement
        self._warn(mismatch)
        if judgement.answer is Answer.FAIL:  # bad is bad at any weight
            return judgement
        return replace(self._undecidable(mismatch), evidence=judgement.evidence)

    def _observe(self, weight: float, until: float) -> None:
        taken = {name: found for name in self._sources if (found := self._take(name, until))}
        for shown in sorted({arms.weight for arms in taken.values() if arms.weight is not None}):
            if abs(shown - weight) > _TOLERATED:
                self._warn(f"expected {weight:g}% of the requests to be meant for gray, found {shown:g}%")
        serving, gray = _arm(taken, "stable"), _arm(taken, "gray")
        stable, old = (_arm(taken, "baseline"), serving) if self._fresh else (serving, {})
        self.step.append(Observation(self._end, until, weight, stable, gray, self._fresh, old))
        self._end = until

    def _undecidable(self, reason: str) -> Judgement:
        """No answer from what cannot be judged; the deadline holds: no release stays unwatched for that."""
        seconds = sum(one.seconds for one in present_step(self.observations))
        late = self._policy.deadline is not None and seconds >= self._policy.deadline
        return Judgement(Answer.INCONCLUSIVE, reason, (), seconds=seconds, expired=late, suspicion=reason)

    @property
    def observations(self) -> list[Observation]:
        """Everything observed so far."""
        return [*self._earlier, *self.step]

    def _take(self, name: str, now: float) -> Arms | None:
        """What a source saw, None if it does not answer: no data never passes, and never fails at once."""
        if name not in self._counting:
            self._begin(name, now, now)
            return None
        try:
            found = self._sources[name].take(now)
        except (OutsideError, UsageError) as error:
            self._tell(name, error)
            return None
        self._silent.pop(name, None)
        return found

    def _tell(self, name: str, error: PipegraftError) -> None:
        if self._silent.get(name) != str(error):
            self._silent[name] = str(error)
            self._warn(f"metric '{name}' has no data: {error}")

    def _warn(self, message: str) -> None:
        self._progress.emit(Event("warning", message, "gray"))


_LASTING = 15
"""Intervals that a regression after the promotion lasts: incidents are over by then."""

_OUTAGE_LOOKS = 3
"""The same of an outage."""

_SHORTEST = 1.0
"""Seconds; a window of Prometheus is not shorter."""

_TOLERATED = 0.5
"""Percentage points that a weight seen in the traffic may differ from the committed one."""


def together(one: Sequence[Observation], other: Sequence[Observation]) -> list[Observation]:
    """Both in order of time; of two that overlap, the one from `one`."""
    new = [mine for mine in other if not any(_overlap(mine, known) for known in one)]
    return sorted([*one, *new], key=lambda observation: observation.start)


def _overlap(one: Observation, other: Observation) -> bool:
    return one.start < other.end and other.start < one.end


def _gaps(span: Span, known: Sequence[Observation]) -> list[tuple[float, float]]:
    """The parts of a span that nobody has observed, but for those too short to show anything."""
    gaps, start = [], span.start
    for one in sorted(known, key=lambda observation: observation.start):
        if one.end > start and one.start < span.end:
            gaps.append((start, one.start))
            start = one.end
    return [(begin, end) for begin, end in [*gaps, (start, span.end)] if end - begin >= _SHORTEST]


def _arm(taken: Mapping[str, Arms], arm: str) -> dict[str, ArmCounts]:
    found: dict[str, Any] = {name: getattr(arms, arm) for name, arms in taken.items()}
    return {name: counts for name, counts in found.items() if counts is not None}


def _series(metric: MetricPolicy, arms: Iterable[Mapping[str, ArmCounts]]) -> list[float]:
    """What each interval with data shows; the larger, the worse."""
    points = [point(metric, arm[metric.name]) for arm in arms if metric.name in arm]
    sign = 1.0 if metric.higher_is == "worse" else -1.0
    return [sign * one for one in points if one is not None]


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
    policy = judge_policy(gray)
    before = list(_served_before(policy, chapter.observed))
    if chapter.last_step != Do.PROMOTE or not before:
        context.report("warning", "nothing to compare with was observed: no bake", environment)
        return Baked(over=True)
    promoted = chapter.commits[0].time
    end = promoted + gray.bake
    sources, judge = context.open(METRICS, environment), context.open(JUDGE, environment)
    long = min(_LASTING, max(1, int(gray.bake // gray.interval)))
    bake = GrayBake(sources, judge, policy, before, promoted, long=long)
    now = clock.now()
    remembers = bake.begin(now) < now
    while clock.now() < end:
        if wait or not remembers:
            clock.sleep(min(gray.interval, max(0.0, end - clock.now())))
        if not stands():
            break
        judgement = bake.look(clock.now(), gray.interval)
        said = look_sentence(bake.policy, bake.observations, judgement)
        context.report("judgement", f"bake: {said}", environment)
        if judgement.answer is Answer.FAIL:
            return Baked(over=True, regression=judgement)
        if not wait and clock.now() < end:
            return Baked(over=False)
    return Baked(over=True)


def _served_before(policy: JudgePolicy, observed: Sequence[Observation]) -> Iterator[Observation]:
    """What the pods that served showed; where only fresh ones are known, after they had warmed up."""
    for one, _, cold in marked_cold(policy, observed):
        if one.serving:
            yield replace(one, stable=one.serving)
        elif not (one.fresh and cold):
            yield one


class GrayBake:
    """Judges what serves now against what stable showed while it was still there.

    The two were not observed at the same time, so an incident looks like a regression to any judge. What it
    calls one counts only where it lasts, by the median of many intervals, and where stable never was as bad
    for as long; an outage counts at once.

    Arguments:
        sources: metric name → its source.
        before: what was observed during the steps, one interval or more; none of pods that were cold.
        start: when the promotion was live, seconds since the epoch.
        long: intervals that a regression lasts.
    """

    def __init__(
        self,
        sources: Mapping[str, MetricSource],
        judge: Judge,
        policy: JudgePolicy,
        before: Sequence[Observation],
        start: float,
        *,
        long: int,
    ) -> None:
        self._sources = sources
        self._judge = judge
        self.policy = replace(policy, deadline=None, warm_up=0.0, memory=min(policy.memory, USUAL_MEMORY))
        """How it is judged: for as long as the bake lasts; what stable showed excuses slow drifts."""
        self._before = before
        self._baseline = total(before).stable
        self._long = long
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
        judgement = self._judge(self.policy, self.observations)
        failed = [one for one in judgement.evidence if one.critical and one.answer is Answer.FAIL]
        worse = {metric.name for metric in self.policy.metrics if self.worse_than_ever(metric)}
        if judgement.answer is not Answer.FAIL or not failed or any(one.metric in worse for one in failed):
            return judgement
        reason = f"{failed[0].metric}: {failed[0].reason}, but so far an incident would show the same"
        return replace(judgement, answer=Answer.INCONCLUSIVE, reason=reason, suspicion=reason)

    def worse_than_ever(self, metric: MetricPolicy) -> bool:
        """Whether the newest intervals are worse than any as many of stable, or an outage."""
        before = _series(metric, [one.stable for one in self._before])
        now = _series(metric, [served for _, _, served in self._served])
        if not before or not now:
            return False
        usual, newest = median(before), now[-_OUTAGE_LOOKS:]
        down = max(OUTAGE * usual, OUTAGE_FLOOR if metric.kind == "errors" else 0.0, *before)
        if metric.higher_is == "worse" and len(newest) == _OUTAGE_LOOKS and min(newest) > down:
            return True
        size = min(self._long, len(before))
        worst = max(median_low(before[first : first + size]) for first in range(len(before) - size + 1))
        beyond = usual * (1.0 + metric.margin) ** (NEAR if metric.higher_is == "worse" else -NEAR)
        return len(now) >= self._long and median_low(now[-self._long :]) > max(worst, beyond)

    @property
    def observations(self) -> list[Observation]:
        """What was served so far, each interval beside an equal part of the baseline."""
        part = 1 / len(self._served)
        baseline = {name: part_of(counts, part) for name, counts in self._baseline.items()}
        return [Observation(start, end, 50, baseline, served) for start, end, served in self._served]

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
