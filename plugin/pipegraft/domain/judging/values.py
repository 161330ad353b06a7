"""Bets on one metric that is a plain number an interval (cpu, queue length, orders).

The logarithm of gray's value over stable's is one draw an interval. The stories say that it is Gaussian
around some mean, with some spread, and with or without memory from one interval to the next; neither is
known, so a null hypothesis is as good as its best story (universal inference, arXiv 1912.11436).
"""

from __future__ import annotations

from math import exp, inf, log, log1p, pi
from typing import Final

from pipegraft.domain.judging.stories import edge, log_mixture

__all__ = ["ValueBets"]

_SPREADS: Final = tuple(0.005 * 2**step for step in range(9))
_MEMORIES: Final = (0.0, 0.8)
_WORSE: Final = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""How far above the tolerated logarithm a worse version is expected to be."""

_WIDEST: Final = 8.0
"""How far from the estimate, in logarithms, an interval's end is looked for."""


class ValueBets:
    """One metric's bets, taking in one interval after the other.

    Arguments:
        tolerance: gray is worse if its value is above ``1 + tolerance`` times stable's.
        margin: gray is good if its value is below ``1 + margin`` times stable's.
    """

    def __init__(self, tolerance: float, margin: float) -> None:
        tolerated, limit = log1p(tolerance), log1p(margin)
        self._tolerated = _stories([tolerated])
        self._limit = _stories([limit])
        self._worse = _stories([tolerated + step for step in _WORSE])
        self._good = _stories(sorted({mean for mean in (-0.7, -0.2, 0.0, limit / 2) if mean < limit}))
        self._draws: list[float] = []

    def see(self, stable: float, gray: float) -> None:
        """Take in one interval; both values are above 0."""
        draw = log(gray / stable)
        previous = self._draws[-1] if self._draws else None
        for story in (*self._tolerated, *self._limit, *self._worse, *self._good):
            story.see(draw, previous)
        self._draws.append(draw)

    @property
    def against(self) -> float:
        """Logarithm of the e-value against gray."""
        return _mixture(self._worse) - max(story.score for story in self._tolerated)

    @property
    def in_favour(self) -> float:
        """Logarithm of the e-value in favour of gray."""
        return _mixture(self._good) - max(story.score for story in self._limit)

    @property
    def estimate(self) -> float | None:
        """The ratio of gray's value to stable's: geometric mean over the intervals."""
        return exp(sum(self._draws) / len(self._draws)) if self._draws else None

    def interval(self, alpha: float) -> tuple[float | None, float | None]:
        """Ends of the interval for the ratio that holds at all looks together, None before the first.

        Arguments:
            alpha: for each end, the probability that the ratio is ever beyond, if a story is true.
        """
        if not self._draws:
            return None, None
        least = log_mixture([_mixture(self._worse), _mixture(self._good)], [1.0, 1.0]) + log(alpha)
        middle = sum(self._draws) / len(self._draws)
        low, high = (edge(self._score_at, middle, middle + step, least) for step in (-_WIDEST, _WIDEST))
        return exp(low), exp(high)

    def _score_at(self, mean: float) -> float:
        stories = _stories([mean])
        for index, draw in enumerate(self._draws):
            for story in stories:
                story.see(draw, self._draws[index - 1] if index else None)
        return max(story.score for story in stories)


class _Story:
    """Draws are Gaussian around a mean, each remembering the one before."""

    __slots__ = ("_constant", "_first", "_mean", "_memory", "_scale", "score")

    def __init__(self, mean: float, spread: float, memory: float) -> None:
        self._mean = mean
        self._memory = memory
        self._first = -0.5 / spread**2
        variance = spread**2 * (1 - memory**2)
        self._scale = -0.5 / variance
        self._constant = -0.5 * log(2 * pi * variance)
        self.score = 0.5 * log(1 - memory**2)  # the first draw knows nothing of one before

    def see(self, draw: float, previous: float | None) -> None:
        if previous is None:
            self.score += self._constant + self._first * (draw - self._mean) ** 2
        else:
            expected = self._mean + self._memory * (previous - self._mean)
            self.score += self._constant + self._scale * (draw - expected) ** 2


def _stories(means: list[float]) -> list[_Story]:
    return [_Story(mean, spread, memory) for mean in means for spread in _SPREADS for memory in _MEMORIES]


def _mixture(stories: list[_Story]) -> float:
    if not stories:
        return -inf
    return log_mixture([story.score for story in stories], [1 / len(stories)] * len(stories))
