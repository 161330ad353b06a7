"""Arithmetic with logarithms of probabilities."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, log, log1p, sqrt

__all__ = ["edge", "log_add", "log_mixture"]


def log_add(one: float, other: float) -> float:
    """Logarithm of the sum of two numbers given by theirs."""
    high, low = (one, other) if one > other else (other, one)
    return high if low == -inf else high + log1p(exp(low - high))


def log_mixture(scores: list[float], weights: list[float]) -> float:
    """Logarithm of the weighted sum of ``exp(score)``: a mixture of laws if the weights sum to 1."""
    high = max(scores)
    if high == -inf:
        return -inf
    return high + log(sum(weight * exp(score - high) for score, weight in zip(scores, weights, strict=True)))


def edge(score: Callable[[float], float], inside: float, outside: float, least: float) -> float:
    """Where a score that falls from `inside` to `outside` drops below `least`, to about a hundredth.

    The square root of what a score has lost is nearly proportional to the way from its top, so a few steps
    of false position do.

    Returns:
        The place; `inside` if the score is below `least` there already.
    """
    top = score(inside)
    if top < least:
        return inside
    start, wanted = inside, sqrt(top - least)
    guess = inside + (0.5 if outside > inside else -0.5)
    while abs(outside - inside) > 0.01:
        found = score(guess)
        if found >= least:
            inside = guess
        else:
            outside = guess
        lost = sqrt(max(top - found, 0.0))
        if abs(lost - wanted) < 0.01 * wanted:
            return guess
        guess = start + (guess - start) * wanted / lost if lost else outside
        if not min(inside, outside) < guess < max(inside, outside):
            guess = (inside + outside) / 2
    return inside
