"""One look at a gray release, as people read it: a sentence with what comes next, and a live table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, log
from typing import Any, Final, Protocol

from rich import box
from rich.table import Table
from rich.text import Text

from pipegraft.gray.judgement import Answer, Evidence, Judgement, JudgePolicy, MetricPolicy
from pipegraft.gray.judging.detectability import looks_to_pass, traffic_of
from pipegraft.gray.judging.metric_state import percent
from pipegraft.gray.judging.readings import point
from pipegraft.gray.judging.sequential import marked_cold, present_step, seconds_left
from pipegraft.gray.observation import Observation

__all__ = ["judgement_lines", "look_sentence", "look_table", "simulated", "sparkline"]


_OUTCOMES: Final = {
    "promote": "the release goes on, unproven",
    "hold": "it waits for a person",
    "rollback": "it is taken back",
}
_BEHIND: Final = 2.0
"""How far the first intervals throw the logarithm of the evidence back, before it rises."""

_USUAL: Final = 8
"""Intervals that the usual pace of the evidence counts for, beside those that were seen."""

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_TREND: Final = 20
"""Intervals that the live table draws."""


def look_sentence(policy: JudgePolicy, observations: Sequence[Observation], judgement: Judgement) -> str:
    """What was seen so far, and what comes next.

    Arguments:
        policy: how the release is judged.
        observations: everything observed of it, one interval or more.
        judgement: what the judge says of that.
    """
    said = judgement.reason
    if not judgement.suspicion or _points_to_harm(judgement):
        said = _compared(policy, judgement) or said
    if judgement.answer is not Answer.INCONCLUSIVE:
        return f"{said}: {judgement.answer}"
    cold = _cold_left(policy, observations)
    if cold:
        return f"gray warms up, {_more(cold)}"
    if not _warm(policy, observations):
        return "gray has warmed up: what it shows counts from now on"
    return f"{said}; {_coming(policy, observations, judgement)}"


def _compared(policy: JudgePolicy, judgement: Judgement) -> str:
    """How gray compares with stable by the metric that decides, or that is furthest from an answer."""
    shown = _decisive(judgement)
    if shown is None or shown.estimate is None or shown.against is None:
        return ""
    kinds = {metric.name: metric.kind for metric in policy.metrics}
    verb, never = {
        "errors": ("fails", "has not failed yet"),
        "latency": ("is slow", "was not slow yet"),
        "value": ("is", "is nothing"),
    }[kinds[shown.metric]]
    often = "stable's" if verb == "is" else "as often"
    name = f"{shown.metric}: " if len(judgement.evidence) > 1 else ""
    if not shown.estimate:
        return f"{name}gray {never} ({_interval(shown)} times {often})"
    return f"{name}gray {verb} {_times(shown.estimate)} times {often} ({_interval(shown)})"


def _interval(evidence: Evidence) -> str:
    low = "0" if evidence.low is None else _times(evidence.low)
    return f"{low} or more" if evidence.high is None else f"{low} to {_times(evidence.high)}"


def _times(multiple: float) -> str:
    return f"{multiple:.2g}" if multiple < 10 else f"{multiple:,.0f}"


def _decisive(judgement: Judgement) -> Evidence | None:
    """A critical metric that failed, that points to harm, or the least proven one."""
    critical = [one for one in judgement.evidence if one.critical]
    failed = [one for one in critical if one.answer is Answer.FAIL]
    if judgement.answer is Answer.FAIL and not failed:  # what it failed by is no comparison
        return None
    for found in (
        failed,
        [one for one in critical if one.suspicion],
        [one for one in critical if one.answer is not Answer.PASS],
        critical,
    ):
        if found:
            return min(found, key=lambda one: one.in_favour or 0.0)
    return None


def _coming(policy: JudgePolicy, observations: Sequence[Observation], judgement: Judgement) -> str:
    """When an answer is to be expected, and what happens if none comes."""
    left = seconds_left(policy, observations, in_doubt=bool(judgement.suspicion))
    outcome = _OUTCOMES[policy.outcome(judgement)]
    if judgement.expired:
        return f"no answer by the deadline: {outcome}"
    if judgement.suspicion:
        harm = ["it points to harm"] if _points_to_harm(judgement) or left is None else []
        ends = [] if left is None else [f"if nothing is decided in {_minutes(left)}, {outcome}"]
        return "; ".join(harm + ends)
    needed = _seconds_to_pass(policy, observations, judgement)
    if needed is not None and (left is None or needed <= left):
        return f"{_more(needed)} at this traffic decide"
    if left is None:
        return "this traffic cannot decide"
    return f"this traffic does not decide before the deadline in {_minutes(left)}: then {outcome}"


def _points_to_harm(judgement: Judgement) -> bool:
    """Whether a metric does; no data, or requests that are split otherwise, are no harm."""
    return any(one.suspicion or one.answer is Answer.FAIL for one in judgement.evidence)


def _warm(policy: JudgePolicy, observations: Sequence[Observation]) -> list[Observation]:
    """The intervals at the present weight after its warm-up."""
    return [one for one, _, cold in marked_cold(policy, present_step(observations)) if not cold]


def _cold_left(policy: JudgePolicy, observations: Sequence[Observation]) -> float:
    step = present_step(observations)
    return max(0.0, policy.warm_up - (step[-1].end - step[0].start))


def _seconds_to_pass(
    policy: JudgePolicy, observations: Sequence[Observation], judgement: Judgement
) -> float | None:
    """Until every critical metric has passed, if gray goes on as it did; None if it will not.

    What is missing of the evidence comes in as fast as it usually does at this traffic, and as it did so far.
    """
    step = _warm(policy, observations)
    seconds = sum(one.seconds for one in step) / len(step)
    metrics = {metric.name: metric for metric in policy.metrics}
    missing = [float(policy.min_intervals - len(step))]
    for one in judgement.evidence:
        if one.critical and one.answer is not Answer.PASS:
            looks = _looks_to_pass(policy, metrics[one.metric], one, step)
            if looks is None:
                return None
            missing.append(looks)
    return max(1.0, *missing) * seconds


def _looks_to_pass(
    policy: JudgePolicy, metric: MetricPolicy, evidence: Evidence, step: Sequence[Observation]
) -> float | None:
    needed = -log(policy.alpha)
    if metric.kind == "value" or evidence.in_favour is None or not evidence.looks:
        return None
    if evidence.estimate is not None and evidence.estimate > (1.0 + metric.margin) ** 0.5:
        return None
    usual = looks_to_pass(traffic_of(metric, step).bad, policy, metric.margin)
    gained = log(max(evidence.in_favour, 1e-300))
    pace = ((needed + _BEHIND) / usual * _USUAL + gained + _BEHIND) / (_USUAL + evidence.looks)
    return (needed - gained) / pace if pace > 0 else None


def _more(seconds: float) -> str:
    number, _, unit = _minutes(seconds).partition(" ")
    return f"{number} more {unit}"


def _minutes(seconds: float) -> str:
    if seconds < 60:
        return f"{ceil(seconds)} seconds"
    minutes = ceil(seconds / 60)
    return "1 minute" if minutes == 1 else f"{minutes} minutes"


def look_table(
    policy: JudgePolicy, observations: Sequence[Observation], judgement: Judgement
) -> dict[str, Any]:
    """The same as a table for a terminal: columns and rows of text.

    Arguments:
        policy: how the release is judged.
        observations: everything observed of it, one interval or more.
        judgement: what the judge says of that.
    """
    step = present_step(observations)
    left = seconds_left(policy, observations, in_doubt=bool(judgement.suspicion))
    cold = _cold_left(policy, observations)
    time = f"warm-up, {_minutes(cold)}" if cold else f"{_minutes(left)} left" if left else ""
    return {
        "columns": [f"{step[-1].weight:g}%", "stable", "gray", "times stable's", "gray, by interval", time],
        "rows": [list(_row(policy, one, observations)) for one in judgement.evidence],
    }


def _row(policy: JudgePolicy, evidence: Evidence, observations: Sequence[Observation]) -> Iterator[str]:
    metric = next(one for one in policy.metrics if one.name == evidence.metric)
    yield evidence.metric
    for level in (evidence.stable, evidence.gray):
        yield "" if level is None else f"{level:.4g}" if metric.kind == "value" else percent(level)
    yield "" if evidence.estimate is None else f"{evidence.estimate:.2g} ({_interval(evidence)})"
    arms = [one.gray.get(evidence.metric) for one in observations[-_TREND:]]
    yield sparkline([None if arm is None else point(metric, arm) for arm in arms])
    yield "points to harm" if evidence.suspicion else str(evidence.answer)


def sparkline(values: Sequence[float | None]) -> str:
    """Values as blocks from nothing to the largest one; a space where there is none."""
    top = max((value for value in values if value is not None), default=0.0)
    if top <= 0:
        return "".join(" " if value is None else _BLOCKS[0] for value in values)
    return "".join(
        " " if value is None else _BLOCKS[min(int(8 * max(value, 0.0) / top), 7)] for value in values
    )


_STYLE: Final = {Answer.PASS: "green", Answer.FAIL: "bold red", Answer.INCONCLUSIVE: "yellow"}


def judgement_lines(
    judge: str, steps: Sequence[tuple[float, int, Judgement]], *, verbose: bool = False
) -> Iterator[Text]:
    """One release through one judge: the answer, what was said at each weight, and why.

    Arguments:
        judge: its name.
        steps: weight in percent, number of intervals and the judgement at their end.
        verbose: whether to print the evidence as numbers, too.
    """
    last = steps[-1][2]
    cost = f"{_duration(last.seconds)} and {last.gray_requests:,.0f} requests of gray"
    yield Text.assemble(f"{judge}: ", _answer(last), f" after {cost}")
    for weight, intervals, judgement in steps:
        yield Text.assemble(f"  at {weight:g}%, {intervals} intervals: ", _answer(judgement))
    width = max(len(one.metric) for one in last.evidence)
    for one in last.evidence:
        critical = "" if one.critical else " (not critical)"
        yield Text.assemble(
            f"  {one.metric:<{width}}  ", _answer(one), f"{critical}  {one.reason}{_ratio(one)}"
        )
        if verbose and one.against is not None and one.in_favour is not None:
            yield Text(
                f"  {'':<{width}}  evidence against it {one.against:,.3g} of {one.needed:,.3g}, "
                f"in its favour {one.in_favour:,.3g}; {one.looks} intervals"
            )


class Simulated(Protocol):
    """Many releases of one kind."""

    @property
    def name(self) -> str:
        """The world, or the fault."""

    @property
    def good(self) -> bool:
        """Whether the new version is as good as stable."""

    @property
    def tally(self) -> Ended:
        """How they ended."""


class Ended(Protocol):
    """How many releases ended how."""

    promoted: int
    taken_back: int
    held: int
    looks: float
    requests: float

    def share(self, of: int) -> tuple[float, float, float]:
        """A share with its 95% interval."""


def simulated(lines: Sequence[Simulated]) -> Table:
    """Simulated releases: good versions in their worlds, then bad ones by their faults."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("new version", "world or fault"):
        table.add_column(heading)
    for heading in ("promoted", "taken back", "held", "intervals", "gray requests"):
        table.add_column(heading, justify="right")
    for line in lines:
        ended = line.tally
        shares = [_with_interval(*ended.share(of)) for of in (ended.promoted, ended.taken_back, ended.held)]
        cost = (f"{ended.looks:.0f}", f"{ended.requests:,.0f}")
        table.add_row("good" if line.good else "bad", line.name, *shares, *cost)
    return table


def _with_interval(share: float, low: float, high: float) -> str:
    return f"{share:.1%} ({low:.1%} to {high:.1%})"


def _answer(said: Evidence | Judgement) -> Text:
    return Text(str(said.answer), _STYLE[said.answer])


def _ratio(evidence: Evidence) -> str:
    if evidence.estimate is None or evidence.against is None:
        return ""
    low = "0" if evidence.low is None else f"{evidence.low:.2f}"
    high = "any" if evidence.high is None else f"{evidence.high:.2f}"
    return f" ({evidence.estimate:.2f} times stable's; surely {low} to {high})"


def _duration(seconds: float) -> str:
    return " ".join(_parts(round(seconds))) or f"{seconds:.1f}s"


def _parts(seconds: int) -> Iterator[str]:
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            yield f"{count}{unit}"
