"""Stories that could explain how bad requests fell on stable and gray, and how well each one does.

A bad request (an error, or a slow one) happened; which arm did it fall on? If gray served the share w of
the requests and its rate of bad ones is ``exp(theta)`` times stable's, it fell on gray with log odds
``log(w / (1 - w)) + theta``, whatever disturbed both arms at that moment, and whatever w was: each bad
request is one Bernoulli draw (Lindon and Malek, arXiv 2011.03567; Lindon and Kallus, arXiv 2410.09282).

A story is a law for these draws. Its score is the logarithm of the probability it gave to what happened,
summed over the intervals, each given those before. The ratio of the scores of two stories is a bet that
nobody can expect to win if the second one is true, at any time of stopping.
"""

from __future__ import annotations

from math import inf
from typing import Final, Protocol

from pipegraft.gray.judging.arithmetic import (
    Number,
    beta_binomial,
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

__all__ = [
    "MEMORY",
    "USUAL_MEMORY",
    "Clumped",
    "Constant",
    "Following",
    "Freak",
    "Onset",
    "Since",
    "Storms",
    "Story",
    "Wandering",
    "slow_drift",
    "weathers",
]


class Story(Protocol):
    """Anything that is scored."""

    score: Number
    """Logarithm of the probability it gave to what happened so far."""


class Constant:
    """Gray's rate is a fixed multiple of stable's.

    Arguments:
        theta: logarithm of the multiple.
    """

    __slots__ = ("_theta", "score")

    def __init__(self, theta: float) -> None:
        self._theta = theta
        self.score: Number = 0.0

    def see(self, odds: Number, gray: Number, stable: Number) -> Number:
        """Take in one interval.

        Arguments:
            odds: logarithm of gray's requests over stable's.
            gray: bad requests of gray.
            stable: bad requests of stable.

        Returns:
            What the interval added to the score. The number of ways to arrange the draws is left out:
            it is the same in every story.
        """
        logit = odds + self._theta
        gain = gray * logit - (gray + stable) * log1p(exp(logit))
        self.score += gain
        return gain


class Freak(Constant):
    """A fixed multiple, but for one interval, whichever it was, in which anything may have happened.

    A burst of one client's retries, or an instance that restarts: no single interval decides.
    """

    __slots__ = ("_pardon", "_regular")

    def __init__(self, theta: float) -> None:
        super().__init__(theta)
        self._regular: Number = 0.0
        self._pardon: Number = 0.0

    def see(self, odds: Number, gray: Number, stable: Number) -> Number:
        gain = super().see(odds, gray, stable)
        self._regular += gain
        most = _log_power(gray, gray + stable) + _log_power(stable, gray + stable)
        self._pardon = larger(self._pardon, most - gain)
        self.score = self._regular + self._pardon
        return gain


class Following:
    """Gray's rate is the multiple of stable's that the intervals before showed, kept within bounds.

    The multiple is the estimate of Mantel and Haenszel, which compares the arms interval by interval, so
    that common disturbances cancel.

    Arguments:
        least: logarithm of the smallest multiple to expect.
        most: of the largest.
    """

    __slots__ = ("_gray", "_least", "_most", "_stable", "score")

    def __init__(self, least: float, most: float) -> None:
        self._least = least
        self._most = most
        self._gray: Number = 0.0
        self._stable: Number = 0.0
        self.score: Number = 0.0

    def see(self, odds: Number, gray: Number, stable: Number) -> None:
        """Take in one interval; arguments as for `Constant.see`."""
        shown = log((self._gray + 0.5) / (self._stable + 0.5))
        logit = odds + smaller(larger(shown, self._least), self._most)
        self.score += gray * logit - (gray + stable) * log1p(exp(logit))
        share = 1.0 / (1.0 + exp(-odds))
        self._gray += gray * (1.0 - share)
        self._stable += stable * share

    @property
    def multiple(self) -> float | None:
        """What the intervals so far show: 0 without bad requests of gray, None without any of stable."""
        return self._gray / self._stable if self._stable else None


def _log_power(part: Number, whole: Number) -> Number:
    """Logarithm of the share that a part is of the whole, to the power of the part."""
    return part * log((part + _TINY) / (whole + _TINY))


_TINY: Final = 1e-300
"""Makes nothing to the power of nothing 1."""


class Wandering:
    """Gray's rate is a fixed multiple of stable's, but each arm has its own weather.

    The log odds deviate from their mean by a stationary AR(1) process. Its likelihood is that of the
    dynamic beta-binomial filter (West, Harrison and Migon, "Dynamic generalized linear models and Bayesian
    forecasting", JASA 80, 1985): gray's share of the bad requests has a Beta distribution with the mean and
    the variance of log odds predicted from the intervals before.

    Arguments:
        theta: logarithm of the multiple.
        deviation: standard deviation of the log odds; above 0.
        memory: correlation of the deviation from one interval to the next.
    """

    __slots__ = ("_deviation", "_fresh", "_memory", "_theta", "_variance", "deviation", "score")

    def __init__(self, theta: float, deviation: float, memory: float) -> None:
        self._theta = theta
        self.deviation = deviation
        self._memory = memory
        self._fresh = (1.0 - memory * memory) * deviation * deviation
        self._deviation: Number = 0.0
        self._variance: Number = deviation * deviation
        self.score: Number = 0.0

    def see(self, odds: Number, gray: Number, stable: Number) -> None:
        """Take in one interval; arguments as for `Constant.see`."""
        ratio = exp(odds + self._theta + self._deviation)
        a = (1.0 + ratio) / self._variance  # digamma and trigamma of a, b by their leading terms
        b = a / ratio
        self.score += beta_binomial(a, b, gray, stable)
        if self._memory:
            after_a, after_b = a + gray, b + stable
            self._deviation = self._memory * (log(after_a / after_b) - odds - self._theta)
            self._variance = self._memory**2 * (1.0 / after_a + 1.0 / after_b) + self._fresh


class Clumped:
    """Gray's rate is a fixed multiple of stable's, but bad requests come in clumps that fall on one arm.

    Retries, or one client's burst: the variance is `size` times that of single draws. Gray's share has a
    Beta distribution, new in each interval, that is the narrower the more bad requests there are.

    Arguments:
        theta: logarithm of the multiple.
        size: mean size of a clump; above 1.
    """

    __slots__ = ("_size", "_theta", "score")

    def __init__(self, theta: float, size: float) -> None:
        self._theta = theta
        self._size = size
        self.score: Number = 0.0

    def see(self, odds: Number, gray: Number, stable: Number) -> None:
        """Take in one interval; arguments as for `Constant.see`."""
        ratio = exp(odds + self._theta)
        total = gray + stable
        b = where(total > 0, total, 1.0) / (self._size - 1.0) / (1.0 + ratio)
        self.score += beta_binomial(b * ratio, b, gray, stable)


_CLUMP: Final = 3.0
"""Mean size of the clumps that bad requests may come in."""

MEMORY: Final = 0.95
"""The longest memory from one interval to the next that an arm's own weather is credited with by default."""

USUAL_MEMORY: Final = 0.8
"""The same of usual weather; a longer one is a `slow_drift`."""


def slow_drift(theta: float, wander: float, memory: float = MEMORY) -> tuple[Wandering, ...]:
    """How both arms may drift apart for many intervals; arguments as for `weathers`."""
    return (Wandering(theta, wander * 2**0.5, memory),) if wander and memory > USUAL_MEMORY else ()


def weathers(theta: float, wander: float, memory: float = MEMORY) -> tuple[Wandering | Clumped, ...]:
    """The ways in which one arm alone may be disturbed.

    Arguments:
        theta: logarithm of the multiple around which that happens.
        wander: standard deviation of the logarithm of one arm's rate; 0 allows no disturbance.
        memory: the longest correlation from one interval to the next.
    """
    if not wander:
        return ()
    memory = min(memory, USUAL_MEMORY)
    both = wander * 2**0.5  # two arms wander independently
    shapes = ((both / 2, 0.0), (both, 0.0), (both / 2, memory), (both, memory))
    wandering = tuple(Wandering(theta, *shape) for shape in shapes)
    return (*wandering, Clumped(theta, _CLUMP))


_STORMS: Final = (1.5, 2.0, 3.0)
"""Multiples of the wander, for drifts that only show themselves in what is observed."""


class Storms:
    """Whether the arms drift further by themselves than expected.

    That is judged apart from guilt: the widest weather that is expected and wider ones are compared around
    several multiples of stable's rate, each around its best.

    Arguments:
        wander, memory: as for `weathers`; the drift is above 0.
    """

    def __init__(self, wander: float, memory: float = MEMORY) -> None:
        both = wander * 2**0.5
        memories = (0.0, min(memory, USUAL_MEMORY))
        self._expected = [Wandering(theta, both, one) for theta in _CENTRES for one in memories]
        self._wider = [
            [Wandering(theta, many * both, one) for theta in _CENTRES] for many in _STORMS for one in memories
        ]

    def see(self, odds: Number, gray: Number, stable: Number) -> None:
        """Take in one interval; arguments as for `Constant.see`."""
        for story in (*self._expected, *(story for group in self._wider for story in group)):
            story.see(odds, gray, stable)

    def innocent(self, calm: Number, least: float) -> tuple[Number, Number]:
        """The best of the storms around equality that have shown themselves.

        Arguments:
            calm: score of the best story without weather.
            least: by how much a storm must have foretold what happened better, around whatever multiple.

        Returns:
            Its score and its deviation; minus infinity and 0 if none has shown itself.
        """
        best = largest([calm, *(story.score for story in self._expected)])
        score: Number = -inf
        deviation: Number = 0.0
        for group in self._wider:
            shown = largest(story.score for story in group) > best + least
            found = where(shown, group[0].score, -inf)
            deviation = where(found > score, group[0].deviation, deviation)
            score = larger(found, score)
        return score, deviation

    @property
    def guilty(self) -> list[Wandering]:
        """The storms around a rate of gray far above stable's."""
        return [story for group in self._wider for story in group[1:]]


_CENTRES: Final = (0.0, log(2.0), log(3.5), log(7.0))
"""Logarithms of the multiples around which drifts are looked for; the first one is equality."""


class Onset:
    """One story up to some interval, a constant multiple from there on; the interval is not known.

    A bettor stakes most on the beginning, half of the rest when the weight changes, a little at any other
    time: a version that breaks under load or over hours is found without waiting for its good time to be
    outweighed. The mixture of laws is a law.

    Arguments:
        theta: logarithm of the multiple.
    """

    __slots__ = ("_story", "score")

    def __init__(self, theta: float) -> None:
        self._story = Constant(theta)
        self.score: Number = -inf

    def see(self, odds: Number, gray: Number, stable: Number, stake: Number) -> None:
        """Take in one interval.

        Arguments:
            odds, gray, stable: as for `Constant.see`.
            stake: logarithm of what is staked on the onset being now: the share of the bettor's money times
                the probability the first story gave to everything before this interval.
        """
        self.score = log_add(self.score, stake) + self._story.see(odds, gray, stable)


class Since:
    """One story up to some interval, a higher rate from there on: how much higher, nobody knows.

    No constant multiple is near enough to what much traffic shows, and the one that follows comes too late.
    From the beginning, or any onset as `Onset` has them, the first interval may show any multiple, and those
    after it much the same, but none is expected to be below the least.

    Arguments:
        theta: logarithm of the least multiple.
        deviation: standard deviation of the logarithm of the multiple.
    """

    def __init__(self, theta: float, deviation: float) -> None:
        self._theta = theta
        self._deviation = deviation
        self._begun: list[_Begun] = []
        self.score: Number = -inf

    def see(self, odds: Number, gray: Number, stable: Number, stake: Number) -> None:
        """Take in one interval; arguments as for `Onset.see`."""
        self._begun.append(_Begun(self._theta, self._deviation, stake))
        for story in self._begun:
            story.see(odds, gray, stable)
        if len(self._begun) > _ONSETS:  # a mixture without its poorest part bets less, so it stays fair
            newest = self._begun.pop()
            for story in self._begun:
                story.change_places(newest)
        self.score = log_mixture([story.worth for story in self._begun], [1.0] * len(self._begun))


class _Begun(Wandering):
    """A drift that began at some time, and is never expected to lie below its mean.

    Arguments:
        theta, deviation: as `Wandering` has them.
        stake: logarithm of what was bet on its beginning then.
    """

    __slots__ = ("_stake",)

    def __init__(self, theta: float, deviation: float, stake: Number) -> None:
        super().__init__(theta, deviation, _STEADY)
        self._stake = stake

    @property
    def worth(self) -> Number:
        """Logarithm of what the stake has become."""
        return self._stake + self.score

    def see(self, odds: Number, gray: Number, stable: Number) -> None:
        super().see(odds, gray, stable)
        self._deviation = larger(self._deviation, 0.0)

    def change_places(self, other: _Begun) -> None:
        """Leave the poorer one of both stories to the other one."""
        richer = other.worth > self.worth
        for name in ("_stake", "score", "_deviation", "_variance"):
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(self, name, where(richer, theirs, mine))
            setattr(other, name, where(richer, mine, theirs))


_STEADY: Final = 0.98
"""Memory of what a version shows that is worse from some time on."""

_ONSETS: Final = 4
"""Onsets that are kept in mind."""
