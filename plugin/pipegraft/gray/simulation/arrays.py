"""How the judge's arithmetic treats arrays: one number for each of many releases."""

from __future__ import annotations

import numpy as np

from pipegraft.gray.judging.arithmetic import Number, beta_binomial, exp, log, log1p, where

__all__ = ["quietly"]

_SHIFT = 7
"""Stirling's series is used this far above its argument, where three terms give twelve digits."""


def _lgamma(x: Number) -> Number:
    """Logarithm of the gamma function of numbers above 0, by Stirling's series (DLMF 5.11.1)."""
    y = x + _SHIFT
    below = x * (x + 1.0) * (x + 2.0) * (x + 3.0) * (x + 4.0) * (x + 5.0) * (x + 6.0)
    series = (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / (1260.0 * y * y)) / (y * y)) / y
    return (y - 0.5) * np.log(y) - y + 0.9189385332046727 + series - np.log(below)


def _beta_binomial(a: Number, b: Number, gray: Number, stable: Number) -> Number:
    both = a + b
    return (
        _lgamma(a + gray)
        - _lgamma(a)
        + _lgamma(b + stable)
        - _lgamma(b)
        - _lgamma(both + gray + stable)
        + _lgamma(both)
    )


exp.register(np.ndarray, np.exp)
log.register(np.ndarray, np.log)
log1p.register(np.ndarray, np.log1p)
where.register(np.ndarray, np.where)
beta_binomial.register(np.ndarray, _beta_binomial)


def quietly() -> np.errstate:
    """A context in which the logarithm of 0 is minus infinity without a warning, as the judge expects."""
    return np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore")
