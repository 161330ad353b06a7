"""What all judges share: the step under way, and from the metrics' answers to the release's."""

from __future__ import annotations

from collections.abc import Sequence

from pipegraft.gray.model.judgement import Answer, Evidence, Judgement, JudgePolicy, MetricPolicy
from pipegraft.gray.model.observation import Observation

__all__ = ["conclude", "gray_requests", "missing_requests", "nothing_yet", "present_step", "requests_seen"]


def present_step(observations: Sequence[Observation]) -> Sequence[Observation]:
    """The last observations, as many as were made at the present weight."""
    start = len(observations) - 1
    while start > 0 and observations[start - 1].weight == observations[-1].weight:
        start -= 1
    return observations[max(start, 0) :]


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

    A critical metric that fails, fails the release. It passes when every critical metric passes and no
    other one fails; otherwise it is inconclusive, for good once the step's deadline has passed.

    Arguments:
        policy: what is expected.
        observations: those that the evidence is made of, one or more.
        evidence: one for each metric, in the policy's order.
    """
    failed = [one for one in evidence if one.answer is Answer.FAIL]
    open_ = [one for one in evidence if one.critical and one.answer is Answer.INCONCLUSIVE]
    step = present_step(observations)
    seconds = observations[-1].end - observations[0].start
    spent = sum(one.seconds for one in step)  # a pause in between does not count
    answer, expired = Answer.INCONCLUSIVE, False
    if any(one.critical for one in failed):
        answer = Answer.FAIL
        reason = _named(next(one for one in failed if one.critical))
    elif failed:
        reason = f"{_named(failed[0])}; it is not critical, a person decides"
    elif open_:
        reason = _named(open_[0]) + (f" (and {len(open_) - 1} more undecided)" if len(open_) > 1 else "")
    else:
        answer, reason = Answer.PASS, "; ".join(_named(one) for one in evidence if one.critical)
    if answer is Answer.INCONCLUSIVE and policy.deadline is not None and spent >= policy.deadline:
        expired = True
        reason = (
            f"no answer within {policy.deadline:g} seconds at weight {observations[-1].weight:g}: {reason}"
        )
    return Judgement(answer, reason, tuple(evidence), gray_requests(observations), seconds, expired)


def _named(evidence: Evidence) -> str:
    return f"{evidence.metric}: {evidence.reason}"


def missing_requests(metric: MetricPolicy, policy: JudgePolicy, observations: Sequence[Observation]) -> str:
    """Why a metric has not seen enough at the present weight to pass; empty if it has.

    A metric that is a plain number has no requests: there one interval with data is enough.
    """
    step = [one.gray[metric.name].requests for one in present_step(observations) if one.pair(metric.name)]
    if not step:
        return "no data at the present weight"
    if metric.kind != "value" and sum(step) < policy.min_requests:
        return f"gray served {sum(step):,.0f} of {policy.min_requests:,.0f} requests at the present weight"
    return ""


def requests_seen(metric: str, observations: Sequence[Observation]) -> tuple[float, float, int]:
    """Requests of stable and of gray in intervals with data of both, and how many intervals those are."""
    pairs = [pair for pair in (one.pair(metric) for one in observations) if pair]
    return sum(stable.requests for stable, _ in pairs), sum(gray.requests for _, gray in pairs), len(pairs)
