"""Arithmetic with logarithms of probabilities, of one release or of many at once.

A `Number` is a float. Where many releases are simulated together it is an array with one number for each of
them: `pipegraft.gray.simulation` registers how these few functions treat arrays, and everything that
is built of them judges one release and thousands by the same lines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import reduce, singledispatch
from math import inf, lgamma, sqrt
from typing import Any, TypeAlias

__all__ = [
    "Number",
    "beta_binomial",
    "edge",
    "exp",
    "larger",
    "largest",
    "log",
    "log1p",
    "log_add",
    "log_mixture",
    "smaller",
    "where",
]

Number: TypeAlias = Any
"""A float, or an array of them; a condition is a bool, or an array of them."""

_NOTHING = -1e300
"""Stands for the logarithm of 0 where two of them are subtracted."""


@singledispatch
def exp(x: Number) -> Number:
    """e to the power of `x`."""
    return math.exp(x)


@singledispatch
def log(x: Number) -> Number:
    """The natural logarithm; minus infinity of 0."""
    return math.log(x) if x else -inf


@singledispatch
def log1p(x: Number) -> Number:
    """The logarithm of 1 + `x`."""
    return math.log1p(x)


@singledispatch
def where(condition: Number, yes: Number, no: Number) -> Number:
    """`yes` where the condition holds, else `no`; both are numbers already."""
    return yes if condition else no


@singledispatch
def beta_binomial(a: Number, b: Number, gray: Number, stable: Number) -> Number:
    """Logarithm of B(a + gray, b + stable) / B(a, b), B being Euler's beta function."""
    both = a + b
    return (
        lgamma(a + gray)
        - lgamma(a)
        + lgamma(b + stable)
        - lgamma(b)
        - lgamma(both + gray + stable)
        + lgamma(both)
    )


def larger(one: Number, other: Number) -> Number:
    """The larger one of two numbers."""
    return where(one > other, one, other)


def smaller(one: Number, other: Number) -> Number:
    """The smaller one of two numbers."""
    return where(one < other, one, other)


def largest(numbers: Iterable[Number]) -> Number:
    """The largest of one number or more."""
    return reduce(larger, numbers)


def log_add(one: Number, other: Number) -> Number:
    """Logarithm of the sum of two numbers given by theirs, of which one may be 0."""
    high, low = larger(larger(one, other), _NOTHING), smaller(one, other)
    return high + log1p(exp(low - high))


def log_mixture(scores: Sequence[Number], weights: Sequence[float]) -> Number:
    """Logarithm of the weighted sum of ``exp(score)``: a mixture of laws if the weights sum to 1."""
    high = larger(largest(scores), _NOTHING)
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
