"""Judges the new version by a fixed budget of errors, whatever the stable one shows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pipegraft.core.errors import UsageError
from pipegraft.core.plugins import hookimpl
from pipegraft.gray.hooks import JudgePlugin
from pipegraft.gray.judgement import Answer, Evidence, Judgement, JudgePolicy, MetricPolicy
from pipegraft.gray.observation import Observation

PIPEGRAFT_HOOKS = "2"


@hookimpl
def pipegraft_judges() -> Iterator[JudgePlugin]:
    """The judge `budget`."""
    yield JudgePlugin("budget", "A share of errors that the new version must keep to.", budget)


def budget(policy: JudgePolicy, observations: Sequence[Observation]) -> Judgement:
    """Judge by the `maximum` of each metric, on the new version alone.

    Raises:
        UsageError: a metric has no maximum, or does not count errors.
    """
    for metric in policy.metrics:
        if metric.maximum is None or metric.kind != "errors":
            raise UsageError(
                f"metric '{metric.name}': judge budget expected errors and a maximum", fix="give it one"
            )
    evidence = tuple(_evidence(metric, policy, observations) for metric in policy.metrics)
    deciding = [one for one in evidence if one.critical]
    worst = next((one for one in deciding if one.answer is Answer.FAIL), None)
    waiting = next((one for one in evidence if one.answer is not Answer.PASS), None)
    decisive = worst or waiting or deciding[0]
    return Judgement(
        Answer.INCONCLUSIVE if decisive.answer is Answer.FAIL and not decisive.critical else decisive.answer,
        f"{decisive.metric}: {decisive.reason}",
        evidence,
        gray_requests=decisive.gray_requests,
        seconds=observations[-1].end - observations[0].start if observations else 0.0,
    )


def _evidence(metric: MetricPolicy, policy: JudgePolicy, observations: Sequence[Observation]) -> Evidence:
    seen = [arm for one in observations if (arm := one.gray.get(metric.name)) and arm.errors is not None]
    requests, errors = sum(arm.requests for arm in seen), sum(arm.errors or 0.0 for arm in seen)
    share, limit = errors / requests if requests else 0.0, metric.maximum or 0.0
    looks = len(seen)
    # the chance of a mistake is divided among all looks: 1/(k(k+1)) adds up to 1
    allowed = policy.alpha / (looks * (looks + 1)) if looks else 0.0
    sure = tail(errors, requests, limit) < allowed
    if sure and share > limit:
        answer, reason = Answer.FAIL, f"{share:.2%} of {requests:g} requests failed, more than {limit:.2%}"
    elif sure and requests >= policy.min_requests:
        answer, reason = Answer.PASS, f"{share:.2%} of {requests:g} requests failed, below {limit:.2%}"
    else:
        answer, reason = Answer.INCONCLUSIVE, f"{requests:g} requests do not tell it from {limit:.2%}"
    return Evidence(
        metric.name,
        answer,
        reason,
        critical=metric.critical,
        gray=share if requests else None,
        gray_requests=requests,
        looks=looks,
    )


def tail(errors: float, requests: float, share: float) -> float:
    """At most how likely it is to be this far from `share` on the side where it lies.

    Source: Chernoff's bound for the binomial distribution, exp(-n KL(errors/n || share)).
    """
    if not requests or not 0 < share < 1:
        return 1.0
    found = errors / requests
    apart = sum(
        part * math.log(part / expected)
        for part, expected in ((found, share), (1 - found, 1 - share))
        if part > 0
    )
    return math.exp(-requests * apart)
