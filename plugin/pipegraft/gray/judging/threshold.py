"""The rule of Flagger: each interval's point estimate against a minimum and a maximum.

A check is one interval; it fails if any metric lies outside its bounds or has no data. Failures add up and
are never forgotten; enough of them take the release back, and every good check raises the weight
(``runMetricChecks`` and ``advanceCanary`` in fluxcd/flagger, pkg/controller). The rule knows neither how
many requests are behind a number nor how often it looks.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipegraft.core.errors import UsageError
from pipegraft.gray.judging.conclusion import conclude, missing_requests, nothing_yet, requests_seen
from pipegraft.gray.judging.readings import point
from pipegraft.gray.model.judgement import Answer, Evidence, Judgement, JudgePolicy, MetricPolicy
from pipegraft.gray.model.observation import Observation

__all__ = ["threshold"]


def threshold(policy: JudgePolicy, observations: Sequence[Observation]) -> Judgement:
    """Judge each interval by `minimum` and `maximum` of every metric, on gray alone.

    Raises:
        UsageError: a metric has neither bound.
    """
    for metric in policy.metrics:
        if metric.minimum is None and metric.maximum is None:
            raise UsageError(
                f"metric '{metric.name}': judge threshold expected a minimum or a maximum, found neither",
                fix="give it one, or use the judge sequential",
            )
    if not observations:
        return nothing_yet(policy)
    failures = seen = 0
    for observation in observations:
        seen += 1
        failures += any(metric.critical and _complaint(metric, observation) for metric in policy.metrics)
        if failures >= policy.max_failures:
            break
    so_far = observations[:seen]
    count = f"{failures} of {policy.max_failures} failed checks that take the release back"
    gone = failures >= policy.max_failures
    return conclude(
        policy, so_far, [_evidence(metric, policy, so_far, count, gone=gone) for metric in policy.metrics]
    )


def _complaint(metric: MetricPolicy, observation: Observation) -> str:
    arm = observation.gray.get(metric.name)
    found = point(metric, arm) if arm else None
    if found is None:
        return "gray shows no data"
    if metric.minimum is not None and found < metric.minimum:
        return f"{found:.4g} of gray is below the minimum {metric.minimum:g}"
    if metric.maximum is not None and found > metric.maximum:
        return f"{found:.4g} of gray is above the maximum {metric.maximum:g}"
    return ""


def _evidence(
    metric: MetricPolicy, policy: JudgePolicy, observations: Sequence[Observation], count: str, *, gone: bool
) -> Evidence:
    complaint = _complaint(metric, observations[-1])
    stable, gray = observations[-1].stable.get(metric.name), observations[-1].gray.get(metric.name)
    level = point(metric, gray) if gray else None
    missing = missing_requests(metric, policy, observations)
    if complaint:
        answer, reason = Answer.FAIL if gone else Answer.INCONCLUSIVE, f"{complaint}; {count}"
    elif missing:
        answer, reason = Answer.INCONCLUSIVE, f"not yet: {missing}"
    else:
        answer, reason = Answer.PASS, f"{level:.4g} of gray lies within its bounds; {count}"
    stable_requests, gray_requests, looks = requests_seen(metric.name, observations)
    return Evidence(
        metric=metric.name,
        answer=answer,
        reason=reason,
        critical=metric.critical,
        stable=point(metric, stable) if stable else None,
        gray=level,
        stable_requests=stable_requests,
        gray_requests=gray_requests,
        looks=looks,
    )
