"""From what a delivery declares to what a judge is told."""

from __future__ import annotations

from pipegraft.core.delivery import Gray, Metric
from pipegraft.gray.model.judgement import JudgePolicy, MetricPolicy, OnUndecided

__all__ = ["judge_policy"]

_INTERVALS = 30
"""Intervals a step may take at most when the delivery names no deadline."""


def judge_policy(gray: Gray) -> JudgePolicy:
    """The policy of an environment's gray releases."""
    return JudgePolicy(
        metrics=tuple(_metric(metric) for metric in gray.metrics),
        alpha=gray.alpha,
        min_requests=gray.min_requests,
        min_intervals=gray.min_intervals,
        warm_up=gray.warm_up,
        deadline=gray.deadline or _INTERVALS * gray.interval,
        deadline_follows=gray.deadline is None,
        on_inconclusive=gray.on_inconclusive,
        on_suspicion=gray.on_suspicion or _on_suspicion(gray),
        wander=gray.wander,
        max_failures=gray.max_failures,
    )


def _on_suspicion(gray: Gray) -> OnUndecided:
    return "rollback" if gray.on_inconclusive == "rollback" else "hold"


def _metric(metric: Metric) -> MetricPolicy:
    return MetricPolicy(
        name=metric.name,
        kind=metric.kind,
        tolerance=metric.tolerance,
        margin=metric.margin,
        floor=metric.floor,
        threshold=metric.threshold,
        quantile=metric.quantile,
        minimum=metric.minimum,
        maximum=metric.maximum,
        higher_is=metric.higher_is,
        critical=metric.critical,
    )
