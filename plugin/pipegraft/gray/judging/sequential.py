"""The default judge: bets that stay fair however often one looks and however the weight changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import exp, log
from typing import Final

from pipegraft.gray.judging.conclusion import conclude, marked_cold, nothing_yet, too_little
from pipegraft.gray.judging.metric_state import Run, ShareRun, Signs, ValueRun
from pipegraft.gray.model.judgement import Answer, Evidence, Judgement, JudgePolicy, MetricPolicy
from pipegraft.gray.model.observation import Observation

__all__ = ["answer_of", "overdue", "sequential"]

_SUSPICION: Final = 0.75
"""Part of the logarithm of the needed evidence from which on gray is suspected."""

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
    return overdue(policy, judgement, [run.signs for run in runs])


def overdue(policy: JudgePolicy, judgement: Judgement, signs: Sequence[Signs]) -> Judgement:
    """Fail a release at its deadline, if it is still worse and nothing but a slow drift excuses it.

    Arguments:
        policy: what is expected.
        judgement: what was concluded.
        signs: of each metric, in the policy's order.
    """
    needed = log(len(policy.metrics) / policy.alpha)
    for metric, one in zip(policy.metrics, signs, strict=True):
        lasts = judgement.suspicion or one.doubtful
        if judgement.expired and metric.critical and lasts and one.sooner >= needed:
            reason = f"{metric.name}: gray is worse for longer than it drifts: {judgement.reason}"
            return replace(judgement, answer=Answer.FAIL, expired=False, reason=reason)
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
