"""The default judge: bets that stay fair however often one looks and however the weight changes."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from typing import Final

from pipegraft.gray.judging.conclusion import conclude, missing_requests, nothing_yet
from pipegraft.gray.judging.metric_state import Run, ShareRun, ValueRun
from pipegraft.gray.model.judgement import Answer, Evidence, Judgement, JudgePolicy
from pipegraft.gray.model.observation import Observation

__all__ = ["sequential"]

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
        ValueRun(metric) if metric.kind == "value" else ShareRun(metric, policy.wander)
        for metric in policy.metrics
    ]
    needed = len(runs) / policy.alpha
    seen = 0
    for observation in observations:
        new_weight = seen > 0 and observation.weight != observations[seen - 1].weight
        seen += 1
        for run in runs:
            run.see(observation.pair(run.metric.name), new_weight=new_weight)
        if any(run.metric.critical and run.bets.against >= log(needed) for run in runs):
            break  # what came later is no part of the answer: the release should be gone by then
    so_far = observations[:seen]
    return conclude(policy, so_far, [_evidence(run, policy, so_far, needed) for run in runs])


def _evidence(run: Run, policy: JudgePolicy, observations: Sequence[Observation], needed: float) -> Evidence:
    against, in_favour = exp(min(run.bets.against, _LARGEST)), exp(min(run.bets.in_favour, _LARGEST))
    enough = 1 / policy.alpha
    doubt = missing_requests(run.metric, policy, observations) or run.doubt()
    answer = Answer.INCONCLUSIVE
    if not run.totals.looks:
        reason = "no data"
    elif against >= needed:
        answer = Answer.FAIL
        reason = f"gray is worse: {run.seen()}; evidence {_odds(against)}, {needed:,.0f} needed"
    elif in_favour < enough:
        reason = (
            f"undecided: {run.seen()}; evidence {against:.2g} of {needed:,.0f} against it, "
            f"{in_favour:.2g} of {enough:,.0f} in its favour"
        )
    elif doubt:
        reason = f"not yet: {doubt}"
    else:
        answer = Answer.PASS
        reason = f"gray is good: {run.seen()}; evidence {_odds(in_favour)}, {enough:,.0f} needed"
    low, high = run.bets.interval(policy.alpha / len(policy.metrics))
    stable, gray = run.levels()
    return Evidence(
        metric=run.metric.name,
        answer=answer,
        reason=reason,
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
    )


def _odds(evidence: float) -> str:
    return f"{evidence:,.0f} to 1" if evidence < 1e6 else "over a million to 1"
