"""The default judge: bets that stay fair however often one looks and however the weight changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import exp, log
from typing import Final

from pipegraft.core.plugins import hookimpl
from pipegraft.gray.hooks import JudgePlugin
from pipegraft.gray.judgement import Answer, Evidence, Judgement, JudgePolicy, MetricPolicy
from pipegraft.gray.judging.detectability import patience
from pipegraft.gray.judging.metric_state import Run, ShareRun, Signs, ValueRun
from pipegraft.gray.observation import Observation

__all__ = [
    "answer_of",
    "at_deadline",
    "conclude",
    "gray_requests",
    "marked_cold",
    "missing_requests",
    "nothing_yet",
    "pipegraft_judges",
    "present_step",
    "requests_seen",
    "seconds_left",
    "sequential",
    "too_little",
]


_SILENT: Final = 3
"""Intervals in which gray shows nothing while stable does, that take a release back."""

_IN_DOUBT: Final = 2.0
"""How many times longer a step may take that points to harm."""

_AWAITED: Final = 10.0
"""Requests that gray should have got in them: fewer may fail to come by chance."""


def present_step(observations: Sequence[Observation]) -> Sequence[Observation]:
    """The last observations, as many as were made at the present weight."""
    start = len(observations) - 1
    while start > 0 and observations[start - 1].weight == observations[-1].weight:
        start -= 1
    return observations[max(start, 0) :]


def marked_cold(
    policy: JudgePolicy, observations: Sequence[Observation]
) -> Iterator[tuple[Observation, bool, bool]]:
    """Each observation, whether the weight was changed before it, and whether gray warms up in it."""
    begun = 0.0
    for number, one in enumerate(observations):
        new_weight = number > 0 and one.weight != observations[number - 1].weight
        if new_weight or not number:
            begun = one.start
        yield one, new_weight, one.start < begun + policy.warm_up


def gray_requests(observations: Sequence[Observation]) -> float:
    """Requests gray has served: of each interval, those of the metric that counted most."""
    return sum(max((arm.requests for arm in one.gray.values()), default=0.0) for one in observations)


def nothing_yet(policy: JudgePolicy) -> Judgement:
    """The judgement before the first observation."""
    reason = "nothing was observed yet"
    evidence = tuple(
        Evidence(metric.name, Answer.INCONCLUSIVE, reason, metric.critical) for metric in policy.metrics
    )
    return Judgement(Answer.INCONCLUSIVE, reason, evidence)


def conclude(
    policy: JudgePolicy, observations: Sequence[Observation], evidence: Sequence[Evidence]
) -> Judgement:
    """The release's answer.

    A critical metric that fails, fails the release, and so does a gray version that shows nothing while
    stable does. It passes when every critical metric passes and no other one fails; otherwise it is
    inconclusive, for good once the step's deadline has passed.

    Arguments:
        policy: what is expected.
        observations: those that the evidence is made of, one or more.
        evidence: one for each metric, in the policy's order.
    """
    answer, reason, suspicion = _answer(evidence)
    silent = _silence(policy, observations)
    if silent and answer is not Answer.FAIL:
        answer, reason = Answer.FAIL, silent
    expired = False
    if answer is Answer.INCONCLUSIVE:
        suspicion = suspicion or _blindness(policy, observations)
        spent, deadline = _spent(policy, observations, in_doubt=bool(suspicion))
        expired = deadline is not None and spent >= deadline
        if expired:
            reason = f"no answer within {spent:g} seconds at weight {observations[-1].weight:g}: {reason}"
    seconds = observations[-1].end - observations[0].start
    served = gray_requests(observations)
    return Judgement(answer, reason, tuple(evidence), served, seconds, expired, suspicion)


def _answer(evidence: Sequence[Evidence]) -> tuple[Answer, str, str]:
    """Answer, reason, and what points to harm."""
    failed = [one for one in evidence if one.answer is Answer.FAIL]
    open_ = [one for one in evidence if one.critical and one.answer is Answer.INCONCLUSIVE]
    suspected = next((_named(one, one.suspicion) for one in evidence if one.critical and one.suspicion), "")
    if any(one.critical for one in failed):
        bad = next(one for one in failed if one.critical)
        return Answer.FAIL, _named(bad, bad.reason), suspected
    if failed:
        reason = f"{_named(failed[0], failed[0].reason)}; it is not critical, a person decides"
        return Answer.INCONCLUSIVE, reason, reason
    if open_:
        shown = next((one for one in open_ if one.suspicion), open_[0])
        more = f" (and {len(open_) - 1} more undecided)" if len(open_) > 1 else ""
        return Answer.INCONCLUSIVE, _named(shown, shown.reason) + more, suspected
    return Answer.PASS, "; ".join(_named(one, one.reason) for one in evidence if one.critical), ""


def _spent(
    policy: JudgePolicy, observations: Sequence[Observation], *, in_doubt: bool
) -> tuple[float, float | None]:
    """Seconds of the step after its warm-up, pauses not counted, and its deadline.

    Where something points to harm, a deadline that follows the traffic is twice as long, to be sure of it.
    """
    step = present_step(observations)
    warm = [one for one, _, cold in marked_cold(policy, step) if not cold]
    spent = sum(one.seconds for one in warm)
    if policy.deadline is None or not policy.deadline_follows or not warm:
        return spent, policy.deadline
    if in_doubt:
        return spent, _IN_DOUBT * policy.deadline
    looks = patience(policy, step)
    return spent, min(policy.deadline, looks * spent / len(warm))


def seconds_left(policy: JudgePolicy, observations: Sequence[Observation], *, in_doubt: bool) -> float | None:
    """Seconds until the deadline of the step under way, its warm-up counted; None if it has none.

    Arguments:
        in_doubt: whether something points to harm.
    """
    spent, deadline = _spent(policy, observations, in_doubt=in_doubt)
    if deadline is None:
        return None
    step = present_step(observations)
    cold = max(0.0, policy.warm_up - (step[-1].end - step[0].start))
    return max(0.0, deadline - spent) + cold


def _silence(policy: JudgePolicy, observations: Sequence[Observation]) -> str:
    """What a critical metric does not show of gray though it shows it of stable; empty if nothing."""
    newest = present_step(observations)[-_SILENT:]
    if len(newest) < _SILENT:
        return ""
    for metric in policy.metrics:
        stable = [one.stable.get(metric.name) for one in newest]
        gray = [one.gray.get(metric.name) for one in newest]
        if not metric.critical or None in stable or any(arm and _shows(metric, arm.requests) for arm in gray):
            continue
        awaited = sum(
            arm.requests * one.share / (1 - one.share)
            for arm, one in zip(stable, newest, strict=True)
            if arm and one.share < 1
        )
        if metric.kind == "value" or awaited >= _AWAITED:
            what = "no value" if metric.kind == "value" else f"none of about {awaited:,.0f} requests"
            return f"{metric.name}: gray shows {what} in {_SILENT} intervals in which stable does"
    return ""


def _shows(metric: MetricPolicy, requests: float) -> bool:
    return metric.kind == "value" or requests > 0


def _blindness(policy: JudgePolicy, observations: Sequence[Observation]) -> str:
    """Which critical metric shows nothing at all at the present weight; empty if none."""
    step = present_step(observations)
    for metric in policy.metrics:
        pairs = [pair for pair in (one.pair(metric.name) for one in step) if pair]
        if metric.critical and not any(_shows(metric, gray.requests) for _, gray in pairs):
            return f"{metric.name}: no data at the present weight"
    return ""


def _named(evidence: Evidence, said: str) -> str:
    return f"{evidence.metric}: {said}"


def missing_requests(metric: MetricPolicy, policy: JudgePolicy, observations: Sequence[Observation]) -> str:
    """Why a metric has not seen enough at the present weight to pass; empty if it has.

    A metric that is a plain number has no requests: there the intervals with data are enough.
    """
    step = marked_cold(policy, present_step(observations))
    seen = [one.gray[metric.name].requests for one, _, cold in step if not cold and one.pair(metric.name)]
    return too_little(metric, policy, sum(seen), len(seen))


def too_little(metric: MetricPolicy, policy: JudgePolicy, requests: float, looks: float) -> str:
    """Why so many requests of gray in so many intervals are not enough to pass; empty if they are."""
    if not looks:
        return "no data at the present weight"
    if metric.kind != "value" and requests < policy.min_requests:
        return f"gray served {requests:,.0f} of {policy.min_requests:,.0f} requests at the present weight"
    if looks < policy.min_intervals:
        return f"{looks:g} of {policy.min_intervals} intervals were seen at the present weight"
    return ""


def requests_seen(metric: str, observations: Sequence[Observation]) -> tuple[float, float, int]:
    """Requests of stable and of gray in intervals with data of both, and how many intervals those are."""
    pairs = [pair for pair in (one.pair(metric) for one in observations) if pair]
    return sum(stable.requests for stable, _ in pairs), sum(gray.requests for _, gray in pairs), len(pairs)


_SUSPICION: Final = 0.75
"""Part of the logarithm of the needed evidence from which on gray is suspected."""

_AT_DEADLINE: Final = 0.5
"""Part of it that takes a release back at its deadline, if only a slow drift stands against all of it."""

_LARGEST: Final = 700.0
"""Logarithm of the largest e-value that is told apart from a larger one: exp of more overflows."""


def sequential(policy: JudgePolicy, observations: Sequence[Observation]) -> Judgement:
    """Judge by e-values, the error budget divided over the metrics.

    Fails at the first look at which a critical metric's evidence against gray reaches the number of
    metrics over alpha. Passes while the evidence in favour of every critical metric reaches 1 / alpha, if
    enough requests were seen at the present weight and they alone do not say otherwise.
    """
    if not observations:
        return nothing_yet(policy)
    runs: list[Run] = [
        ValueRun(metric) if metric.kind == "value" else ShareRun(metric, policy.wander, policy.memory)
        for metric in policy.metrics
    ]
    needed = len(runs) / policy.alpha
    seen = 0
    for observation, new_weight, cold in marked_cold(policy, observations):
        seen += 1
        for run in runs:
            run.see(observation.pair(run.metric.name), new_weight=new_weight, cold=cold)
        if any(run.metric.critical and run.signs.against >= log(needed) for run in runs):
            break  # what came later is no part of the answer: the release should be gone by then
    judgement = conclude(policy, observations[:seen], [_evidence(run, policy, needed) for run in runs])
    return at_deadline(policy, judgement, [run.signs for run in runs])


def at_deadline(policy: JudgePolicy, judgement: Judgement, signs: Sequence[Signs]) -> Judgement:
    """What a deadline without an answer says of a version that looks worse, and may only drift for hours.

    It is taken back if it is still worse, if it would be so for certain were it not for such a drift, and
    if the drift itself explains it clearly less well. Where the drift explains it better than any fault, by
    as much evidence as a fault would need, nothing points to harm any more: that was looked at twice as long
    as usual, unless the deadline was set.

    Arguments:
        policy: what is expected.
        judgement: what was concluded.
        signs: of each metric, in the policy's order.
    """
    needed = log(len(policy.metrics) / policy.alpha)
    suspects: list[Signs] = []
    for metric, one in zip(policy.metrics, signs, strict=True):
        if not (judgement.expired and metric.critical):
            continue
        lasts = judgement.suspicion or one.doubtful
        if lasts and one.sooner >= needed and one.against >= _AT_DEADLINE * needed:
            reason = f"{metric.name}: gray is worse for longer than it drifts: {judgement.reason}"
            return replace(judgement, answer=Answer.FAIL, expired=False, reason=reason)
        if answer_of(one, metric, policy)[1]:
            suspects.append(one)
    failed = any(one.answer is Answer.FAIL for one in judgement.evidence)
    only_drifts = all(one.against < min(one.sooner, -needed) for one in suspects)
    if suspects and only_drifts and policy.deadline_follows and not failed:
        reason = f"{judgement.reason}; a drift of hours explains it better than a fault"
        return replace(judgement, suspicion="", reason=reason)
    return judgement


def answer_of(signs: Signs, metric: MetricPolicy, policy: JudgePolicy) -> tuple[Answer, bool]:
    """What one metric says of the release, and whether it points to harm.

    A metric that points to harm does not pass, whatever speaks for it: so more errors never acquit.
    """
    needed = log(len(policy.metrics) / policy.alpha)
    suspicious = bool(signs.excess or signs.against >= _SUSPICION * needed)
    if signs.against >= needed:
        return Answer.FAIL, True
    enough = signs.in_favour >= -log(policy.alpha)
    sure = enough and not (suspicious or signs.doubtful)
    if sure and not too_little(metric, policy, signs.requests, signs.looks):
        return Answer.PASS, False
    return Answer.INCONCLUSIVE, suspicious


def _evidence(run: Run, policy: JudgePolicy, needed: float) -> Evidence:
    signs = run.signs
    against, in_favour = exp(min(signs.against, _LARGEST)), exp(min(signs.in_favour, _LARGEST))
    answer, suspicious = answer_of(signs, run.metric, policy)
    low, high = run.bets.interval(policy.alpha / len(policy.metrics))
    stable, gray = run.levels()
    suspicion = f"this points to harm: {run.seen()}" if suspicious and answer is not Answer.FAIL else ""
    return Evidence(
        metric=run.metric.name,
        answer=answer,
        reason=_reason(run, answer, policy, suspicious=suspicious),
        critical=run.metric.critical,
        stable=stable,
        gray=gray,
        estimate=run.bets.estimate,
        low=low,
        high=high,
        stable_requests=run.totals.stable,
        gray_requests=run.totals.gray,
        looks=run.totals.looks,
        against=against,
        in_favour=in_favour,
        needed=needed,
        suspicion=suspicion,
    )


def _reason(run: Run, answer: Answer, policy: JudgePolicy, *, suspicious: bool) -> str:
    """One sentence with the numbers that decided."""
    signs = run.signs
    if answer is Answer.FAIL:
        return f"gray is worse: {run.seen()}"
    if answer is Answer.PASS:
        return f"gray is good: {run.seen()}"
    if not signs.seen and not run.totals.looks:
        return "no data"
    if not signs.looks and signs.seen:
        return "gray warms up"
    missing = too_little(run.metric, policy, signs.requests, signs.looks)
    if suspicious:
        return f"undecided, but it points to harm: {run.seen()}"
    if signs.in_favour < -log(policy.alpha):
        return f"undecided: {run.seen()}"
    return f"not yet: {missing or run.doubt()}"


@hookimpl
def pipegraft_judges() -> Iterable[JudgePlugin]:
    yield JudgePlugin(
        "sequential", "Bets that stay valid however often one looks.", sequential, reads_bounds=False
    )
