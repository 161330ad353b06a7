"""Bets on one metric that counts bad requests: e-values against gray and in its favour.

*Against*: the stories in which gray is worse, mixed, compared with the best of the innocent stories: gray
is worse by no more than the tolerance, but for one freak interval; or the arms are equal and wander, as far
as expected or, once that shows, further.
*In favour*: the stories in which gray is good, mixed, compared with the best of those in which it is worse
by the margin or more. Taking the best story of a null hypothesis makes the ratio an e-process for all of
it (universal inference: Wasserman, Ramdas and Balakrishnan, arXiv 1912.11436): under any of its stories the
ratio ever exceeds 1 / alpha with probability alpha at most, at whatever intervals one looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf, sqrt
from typing import Final

from pipegraft.gray.judging.arithmetic import (
    Number,
    beta_binomial,
    edge,
    exp,
    larger,
    largest,
    log,
    log1p,
    log_add,
    log_mixture,
    smaller,
    where,
)
from pipegraft.gray.judging.hypotheses import (
    MEMORY,
    Constant,
    Following,
    Freak,
    Onset,
    Since,
    Storms,
    Story,
    slow_drift,
    weathers,
)
from pipegraft.gray.judging.readings import Draws

__all__ = ["ShareBets"]

_WORSE: Final = ((1.27, 0.1), (1.55, 0.2), (1.9, 0.3), (2.5, 0.2), (3.6, 0.1), (7.0, 0.06), (18.0, 0.04))
"""Multiples of the tolerated ratio that a worse version is expected to show, with their weights."""

_GOOD: Final = ((0.05, 0.1), (0.5, 0.15), (0.75, 0.15), (1.0, 0.4))
_HALF_WAY: Final = 0.2
"""Ratios that a good version is expected to show, with their weights, and of one half way to the margin."""

_CONSTANT: Final = 0.2
_FOLLOWING: Final = 0.1
_WANDERING: Final = (0.14,) * 5
"""Weights of those stories, of the one that follows what was shown, and of those that wander, in the mixture
of those in which gray is good; …"""

_WORSE_CONSTANT: Final = 0.1
_WORSE_FOLLOWING: Final = 0.05
_WORSE_WANDERING: Final = (0.3, 0.05, 0.3, 0.15, 0.05)
"""… and in that of those in which it is worse: most on a doubling, which drifts a little."""

_GROSS: Final = 0.03
_MARKED: Final = 0.05
"""Weights of the stories in which gray is worse by any multiple since some time, many times or at least
markedly, in the mixture of those in which it is worse."""

_STORMY_GUILT: Final = 0.1
"""Weight of the storms around a far higher rate of gray, in that mixture: an erratic version is bad, too."""

_ERRATIC: Final = ((5.0, 0.25), (10.0, 0.25), (20.0, 0.1))
_ERRATIC_GUILT: Final = 0.07
"""Multiples that an erratic version shows and in which share of the intervals, and their weight together."""

_CALM: Final = 0.1
"""Deviation of the logarithm of the odds in those intervals where no drift is expected."""

_MANY: Final = 10.0
_SOME: Final = 1.4
_ANY_MULTIPLE: Final = 2.0
_SOME_MULTIPLE: Final = 1.0
"""The least multiples of stable's rate in those stories, and the deviations of their logarithms."""

_APART: Final = 0.1
"""How far from the tolerated ratio, or from the margin, the story that follows stays, in logarithms."""

_AT_ONCE: Final = 0.8
_AT_NEW_WEIGHT: Final = 0.5
_AT_ANY_TIME: Final = 0.02
"""Shares of what a bettor still holds, staked on gray becoming worse now."""

_BELOW_FLOOR: Final = ((0.0, 0.3), (0.1, 0.2), (0.25, 0.2), (0.5, 0.2), (0.75, 0.1))
"""Parts of the floor that a good version's share is expected to be, with their weights."""

_CREDIT: Final = log(2.0)
_SLOW_CREDIT: Final = log(4.0)
"""Given to weather over its likelihood, which the filter only approximates, and to a slow drift: the longer
it remembers, the rougher it is."""

_STORMY: Final = 2.0
"""By how much a storm must have foretold what happened better than any weather did, in logarithms, whatever
gray's rate is: then the drift is wider than `wander` says, and is no sign of guilt."""

_WIDEST: Final = 8.0
"""Logarithm of the largest ratio that an interval's end is looked for at."""


class ShareBets:
    """One metric's bets, taking in one interval after the other.

    Arguments:
        tolerance: gray is worse if its rate is above ``1 + tolerance`` times stable's.
        margin: gray is good if its rate is below ``1 + margin`` times stable's.
        floor: a rate of gray up to this is good in any case; 0 for none.
        follows: whether the floor is never more than about twice the rate that stable has shown so far.
        wander: how far one arm's rate drifts by itself, standard deviation of its logarithm.
        memory: the longest correlation of that drift from one interval to the next.
    """

    def __init__(
        self,
        tolerance: float,
        margin: float,
        floor: float,
        wander: float,
        memory: float = MEMORY,
        *,
        follows: bool = False,
    ) -> None:
        self._weather = wander, memory
        self._tolerated = Freak(log1p(tolerance))
        self._at_margin = Constant(log1p(margin))
        self._equal = Constant(0.0)
        self._worse = [Onset(log(ratio * (1 + tolerance))) for ratio, _ in _WORSE]
        good = [
            (ratio, weight) for ratio, weight in (*_GOOD, (sqrt(1 + margin), _HALF_WAY)) if ratio < 1 + margin
        ]
        self._good = [Constant(log(ratio)) for ratio, _ in good]
        self._gross = Since(log(_MANY), _ANY_MULTIPLE)
        self._marked = Since(log(_SOME * (1 + tolerance)), _SOME_MULTIPLE)
        spread = wander * 2**0.5 or _CALM
        self._erratic = [_Erratic(log(ratio), often, spread) for ratio, often in _ERRATIC]
        self._worse_following = Following(log1p(tolerance) + _APART, inf)
        self._good_following = Following(-inf, log1p(margin) - _APART)
        self._equal_weather = weathers(0.0, wander, memory)
        self._slow = slow_drift(0.0, wander, memory)
        self._worse_weather = weathers(log1p(margin), wander, memory)
        self._storms = Storms(wander, memory) if wander else None
        drifts = bool(self._equal_weather)
        self._worse_weights = _weights(
            [weight for _, weight in _WORSE], _WORSE_CONSTANT, _WORSE_FOLLOWING, _WORSE_WANDERING * drifts
        )
        self._good_weights = _weights(
            [weight for _, weight in good], _CONSTANT, _FOLLOWING, _WANDERING * drifts
        )
        self._floor = _FloorTest(floor, follows=follows) if floor else None
        self._purse = _Purse()
        self._intervals: list[tuple[Number, Number, Number]] = []

    def see(self, draws: Draws, *, new_weight: Number = False) -> None:
        """Take in one interval.

        Arguments:
            draws: what both arms showed.
            new_weight: whether gray's share of the traffic was changed before it.
        """
        if self._floor:
            self._floor.see(draws, new_weight=new_weight)
        both = (draws.gray > 0) & (draws.stable > 0)  # one arm alone says nothing about the other
        odds = log(where(both, draws.gray, 1.0) / where(both, draws.stable, 1.0))
        gray, stable = where(both, draws.gray_bad, 0.0), where(both, draws.stable_bad, 0.0)
        stake = self._stake(new_weight=new_weight, data=both)
        for onset in self._worse:
            onset.see(odds, gray, stable, stake)
        for since in (self._gross, self._marked):
            since.see(odds, gray, stable, stake)
        for constant in (self._tolerated, self._at_margin, self._equal, *self._good):
            constant.see(odds, gray, stable)
        for following in (self._worse_following, self._good_following):
            following.see(odds, gray, stable)
        for story in (*self._equal_weather, *self._slow, *self._worse_weather, *self._erratic):
            story.see(odds, gray, stable)
        if self._storms:
            self._storms.see(odds, gray, stable)
        self._intervals.append((odds, gray, stable))

    def _stake(self, *, new_weight: Number, data: Number) -> Number:
        """Logarithm of what is bet on gray becoming worse now, having been good so far."""
        good = _scores([self._equal], self._equal_weather)
        so_far = log_mixture(good, [1 / len(good)] * len(good))
        return self._purse.stake(new_weight=new_weight, data=data) + so_far

    @property
    def against(self) -> Number:
        """Logarithm of the e-value against gray."""
        slow = largest([-inf, *_scores(self._slow)])
        return smaller(self.sooner, self._worse_mixture() - slow - _SLOW_CREDIT)

    @property
    def sooner(self) -> Number:
        """The same, if no drift lasts as long as the memory says."""
        return smaller(self.relative, self._floor.against) if self._floor else self.relative

    @property
    def relative(self) -> Number:
        """The same, whatever the floor excuses."""
        weather = largest([-inf, *_scores(self._equal_weather), self._storm()[0]])
        calm = larger(self._tolerated.score, self._equal.score)
        return self._worse_mixture() - larger(calm, weather + _CREDIT)

    def _storm(self) -> tuple[Number, Number]:
        """Score and deviation of the innocent storm that has shown itself, if any."""
        if not self._storms:
            return -inf, 0.0
        since = (self._gross, self._marked)
        calm = largest(_scores(self._worse, since, [self._equal, self._tolerated]))
        return self._storms.innocent(calm, _STORMY)

    @property
    def storm(self) -> Number:
        """Standard deviation of the logarithm of one arm's rate, where it is wider than expected; else 0."""
        return self._storm()[1] / 2**0.5

    @property
    def floor(self) -> Number:
        """The floor by now; 0 for none."""
        return self._floor.floor if self._floor else 0.0

    @property
    def in_favour(self) -> Number:
        """Logarithm of the e-value in favour of gray."""
        guilty = largest(_scores([self._at_margin], self._worse_weather))
        relative = self._good_mixture() - guilty
        return log_mixture([relative, self._floor.in_favour], [0.5, 0.5]) if self._floor else relative

    def _worse_mixture(self) -> Number:
        usual = log_mixture(
            _scores(self._worse, [self._worse_following], self._worse_weather), self._worse_weights
        )
        erratic = log_mixture(_scores(self._erratic), [1 / len(_ERRATIC)] * len(_ERRATIC))
        parts = [(self._gross.score, _GROSS), (self._marked.score, _MARKED), (erratic, _ERRATIC_GUILT)]
        if self._storms:
            stormy = _scores(self._storms.guilty)
            parts.append((log_mixture(stormy, [1 / len(stormy)] * len(stormy)), _STORMY_GUILT))
        parts.append((usual, 1.0 - sum(weight for _, weight in parts)))
        return log_mixture(*zip(*parts, strict=True))

    def _good_mixture(self) -> Number:
        return log_mixture(
            _scores(self._good, [self._good_following], self._equal_weather), self._good_weights
        )

    @property
    def estimate(self) -> Number:
        """How many times stable's rate gray's is, None if stable showed nothing bad."""
        return self._good_following.multiple

    def interval(self, alpha: float) -> tuple[float | None, float | None]:
        """Ends of the interval for the ratio that holds at all looks together.

        Arguments:
            alpha: for each end, the probability that the ratio is ever beyond, if a story is true.

        Returns:
            Lower and upper end; None where nothing bad has happened on the arm that would bound it.
        """
        least = log_mixture([self._worse_mixture(), self._good_mixture()], [1.0, 1.0]) + log(alpha)
        gray, stable = (sum(interval[arm] for interval in self._intervals) for arm in (1, 2))
        middle = log(self.estimate) if self.estimate else -_WIDEST if stable else _WIDEST
        low = exp(edge(self._score_at, middle, -_WIDEST, least)) if gray else None
        high = exp(edge(self._score_at, middle, _WIDEST, least)) if stable else None
        return low, high

    def _score_at(self, theta: float) -> float:
        constant = Constant(theta)
        wandering = *weathers(theta, *self._weather), *slow_drift(theta, *self._weather)
        for interval in self._intervals:
            constant.see(*interval)
            for story in wandering:
                story.see(*interval)
        return float(largest(_scores([constant], wandering)))


class _Erratic:
    """Gray is as good as stable in most intervals and many times worse in the others, which nobody foretells.

    Each interval stands by itself; in both kinds the rate drifts as far as expected.

    Arguments:
        theta: logarithm of the multiple in the bad intervals.
        often: their share.
        deviation: standard deviation of the log odds in either; above 0.
    """

    __slots__ = ("_precision", "_ratios", "_shares", "score")

    def __init__(self, theta: float, often: float, deviation: float) -> None:
        self._ratios = 1.0, exp(theta)
        self._shares = 1.0 - often, often
        self._precision = 1.0 / deviation**2
        self.score: Number = 0.0

    def see(self, odds: Number, gray: Number, stable: Number) -> None:
        gains = []
        for many in self._ratios:
            ratio = exp(odds) * many
            a = (1.0 + ratio) * self._precision
            gains.append(beta_binomial(a, a / ratio, gray, stable))
        self.score += log_mixture(gains, self._shares)


class _Purse:
    """The money of who bets that gray becomes worse: most is staked at once, the rest bit by bit.

    Nothing is staked before there is data, and the stake on a new weight waits for data of it.
    """

    def __init__(self) -> None:
        self._left: Number = 1.0
        self._raised: Number = False

    def stake(self, *, new_weight: Number, data: Number) -> Number:
        """Logarithm of what is bet on this being the moment."""
        raised = self._raised | new_weight
        part = where(self._left == 1.0, _AT_ONCE, where(raised, _AT_NEW_WEIGHT, _AT_ANY_TIME))
        staked = where(data, self._left * part, 0.0)
        self._left = self._left - staked
        self._raised = raised & (staked == 0)
        return log(staked)


class _FloorTest:
    """Bets on gray's rate being above a floor, from the beginning or from some time on, and below it.

    Requests fail independently with some probability at most (at least) the floor: then the factor
    ``x ** bad * exp(-requests * floor * (x - 1))`` is expected to be 1 or less, for x above (below) 1. A
    floor that follows stable is known before each interval, so this holds for it, too.

    Arguments:
        floor: the rate.
        follows: whether it is never more than twice the rate that stable has shown before.
    """

    def __init__(self, floor: float, *, follows: bool) -> None:
        self.floor: Number = floor
        self._most = floor
        self._follows = follows
        self._stable: Number = 0.0
        self._stable_bad: Number = 0.0
        self._purse = _Purse()
        self._above: list[Number] = [-inf] * len(_WORSE)
        self._below: list[Number] = [0.0] * len(_BELOW_FLOOR)

    def see(self, draws: Draws, *, new_weight: Number) -> None:
        stake = self._purse.stake(new_weight=new_weight, data=draws.gray > 0)
        self._above = [
            log_add(score, stake) + self._gain(x, draws)
            for score, (x, _) in zip(self._above, _WORSE, strict=True)
        ]
        self._below = [
            score + self._gain(x, draws) for score, (x, _) in zip(self._below, _BELOW_FLOOR, strict=True)
        ]
        if self._follows:
            self._stable = self._stable + draws.stable
            self._stable_bad = self._stable_bad + draws.stable_bad
            shown = 2.0 * (self._stable_bad + 1.0) / where(self._stable > 0, self._stable, 1.0)
            self.floor = smaller(shown, self._most)

    def _gain(self, x: float, draws: Draws) -> Number:
        surprise = draws.gray_bad * log(x) if x else where(draws.gray_bad > 0, -inf, 0.0)
        return surprise - draws.gray * self.floor * (x - 1)

    @property
    def against(self) -> Number:
        return log_mixture(self._above, [weight for _, weight in _WORSE])

    @property
    def in_favour(self) -> Number:
        return log_mixture(self._below, [weight for _, weight in _BELOW_FLOOR])


def _scores(*groups: Iterable[Story]) -> list[Number]:
    return [story.score for group in groups for story in group]


def _weights(
    each: Sequence[float], constant: float, following: float, wandering: Sequence[float]
) -> list[float]:
    """Of a mixture: constant stories, the one that follows, then those that wander, if there are any."""
    part = constant if wandering else 1.0 - following
    return [*(part * weight / sum(each) for weight in each), following, *wandering]
