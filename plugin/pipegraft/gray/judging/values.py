"""Bets on one metric that is a plain number an interval (cpu, queue length, orders).

The logarithm of gray's value over stable's is one draw an interval. The stories say that it is Gaussian
around some mean, with some spread, and with or without memory from one interval to the next; neither is
known, so a null hypothesis is as good as its best story (universal inference, arXiv 1912.11436).
"""

from __future__ import annotations

from math import exp, inf, log, log1p, pi, sqrt
from typing import Final

from pipegraft.gray.judging.arithmetic import edge, log_add, log_mixture

__all__ = ["ValueBets"]

_SPREADS: Final = tuple(0.005 * 2**step for step in range(9))
_MEMORIES: Final = (0.0, 0.8)
_SHAPES: Final = len(_SPREADS) * len(_MEMORIES)
_WORSE: Final = (0.2, 0.4, 0.8, 1.6)
"""How far above the tolerated logarithm a worse version is expected to be, before it is seen."""

_AT_NEW_WEIGHT: Final = 0.5
_AT_ANY_TIME: Final = 0.02
"""Shares of what a bettor still holds, staked on gray becoming worse now."""

_APART: Final = 0.1
"""How far from the tolerated logarithm, or from the margin's, the stories that follow the draws stay."""

_UNSEEN: Final = 0.7
"""How far from its bound the first draw may lie for a story that has none to follow yet."""

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
        self._tolerated = _stories(tolerated, tolerated)
        self._limit = _stories(limit, limit)
        self._worse = _stories(tolerated + _APART, inf)
        for step in _WORSE:
            self._worse += _stories(tolerated + step, tolerated + step)
        self._good = _stories(-inf, limit - _APART)
        for mean in (-0.7, -0.2, limit / 2):
            self._good += _stories(min(mean, limit - _APART), min(mean, limit - _APART))
        self._equal = _stories(0.0, 0.0)
        self._later = [(_stories(tolerated + step, tolerated + step), [-inf] * _SHAPES) for step in _WORSE]
        self._left = 1.0
        self._draws: list[float] = []

    def see(self, stable: float, gray: float, *, new_weight: bool = False) -> None:
        """Take in one interval; both values are above 0.

        Arguments:
            stable, gray: the values.
            new_weight: whether gray's share of the traffic was changed before it.
        """
        draw = log(gray / stable)
        previous = self._draws[-1] if self._draws else None
        self._begin_later(draw, previous, new_weight=new_weight)
        for story in (*self._tolerated, *self._limit, *self._worse, *self._good):
            story.see(draw, previous)
        self._draws.append(draw)

    def _begin_later(self, draw: float, previous: float | None, *, new_weight: bool) -> None:
        """Bet on gray becoming worse now, having been equal so far, as `binomial` does."""
        staked = 0.0 if previous is None else self._left * (_AT_NEW_WEIGHT if new_weight else _AT_ANY_TIME)
        self._left -= staked
        for stories, begun in self._later:
            for index, (story, equal) in enumerate(zip(stories, self._equal, strict=True)):
                before = story.score
                story.see(draw, previous)
                stake = log(staked) + equal.score if staked else -inf
                begun[index] = log_add(begun[index], stake) + story.score - before
        for equal in self._equal:
            equal.see(draw, previous)

    @property
    def against(self) -> float:
        """Logarithm of the e-value against gray."""
        later = [score for _, begun in self._later for score in begun]
        worse = [_mixture(self._worse), log_mixture(later, [1 / len(later)] * len(later))]
        tolerated = max(story.score for story in (*self._tolerated, *self._equal))
        return float(log_mixture(worse, [0.5, 0.5])) - tolerated

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
        stories = _stories(mean, mean)
        for index, draw in enumerate(self._draws):
            for story in stories:
                story.see(draw, self._draws[index - 1] if index else None)
        return max(story.score for story in stories)


class _Story:
    """Draws are Gaussian around the mean of those before, kept within bounds; each may remember the last one.

    Arguments:
        least: smallest mean to expect; the same as `most` for a fixed one.
        most: largest.
        spread: standard deviation.
        memory: correlation of a draw with the one before.
    """

    __slots__ = ("_count", "_innovation", "_least", "_memory", "_most", "_spread", "_sum", "score")

    def __init__(self, least: float, most: float, spread: float, memory: float) -> None:
        self._least = least
        self._most = most
        self._spread = spread
        self._memory = memory
        self._innovation = spread * sqrt(1 - memory**2)
        self._sum = 0.0
        self._count = 0
        self.score = 0.0

    def see(self, draw: float, previous: float | None) -> None:
        """Take in one interval, and the draw of the one before."""
        mean = min(max(self._sum / self._count if self._count else 0.0, self._least), self._most)
        if previous is None:
            spread = self._spread if self._least == self._most else max(self._spread, _UNSEEN)
            self.score += _log_density(draw - mean, spread)
        else:
            expected = mean + self._memory * (previous - mean)
            self.score += _log_density(draw - expected, self._innovation)
        self._sum += draw
        self._count += 1


def _log_density(surprise: float, spread: float) -> float:
    return -0.5 * log(2 * pi * spread**2) - 0.5 * (surprise / spread) ** 2


def _stories(least: float, most: float) -> list[_Story]:
    return [_Story(least, most, spread, memory) for spread in _SPREADS for memory in _MEMORIES]


def _mixture(stories: list[_Story]) -> float:
    following = len(_SPREADS) * len(_MEMORIES)
    fixed = len(stories) - following
    weights = [0.5 / following] * following + [0.5 / fixed] * fixed
    return float(log_mixture([story.score for story in stories], weights))
