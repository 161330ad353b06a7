"""Counters that only rise, until the process that counts starts anew."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

__all__ = ["increase"]

K = TypeVar("K", bound=Hashable)


def increase(before: Mapping[K, float], after: Mapping[K, float]) -> dict[K, float]:
    """How much each counter rose between two readings.

    A counter that fell was reset: it has counted what it shows now. One that is new began at 0. One that
    is gone shows nothing. These are the rules of Prometheus' ``increase``, without its extrapolation.

    Arguments:
        before: series → value, at the earlier time.
        after: series → value, at the later time.
    """
    return {
        series: value - before.get(series, 0.0) if value >= before.get(series, 0.0) else value
        for series, value in after.items()
    }
