"""From what a delivery declares to what a judge is told."""

from __future__ import annotations

from pipegraft.core.delivery import Gray, Metric
from pipegraft.gray.model.judgement import JudgePolicy, MetricPolicy

__all__ = ["judge_policy"]

_INTERVALS = 30
"""Intervals a step may take when the delivery names no deadline."""


def judge_policy(gray: Gray) -> JudgePolicy:
    """The policy of an environment's gray releases."""
    return JudgePolicy(
        metrics=tuple(_metric(metric) for metric in gray.metrics),
        alpha=gray.alpha,
        min_requests=gray.min_requests,
        deadline=gray.deadline or _INTERVALS * gray.interval,
        on_inconclusive=gray.on_inconclusive,
        wander=gray.wander,
        max_failures=gray.max_failures,
    )


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
