"""One metric through a release: its bets, its totals, and what speaks against passing it now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Final, TypeAlias

from pipegraft.gray.judgement import MetricPolicy
from pipegraft.gray.judging.arithmetic import Number, larger, log, where
from pipegraft.gray.judging.binomial import ShareBets
from pipegraft.gray.judging.hypotheses import MEMORY
from pipegraft.gray.judging.readings import BadRequests, Draws, point
from pipegraft.gray.judging.values import ValueBets
from pipegraft.gray.observation import ArmCounts

__all__ = [
    "NEAR",
    "OUTAGE",
    "OUTAGE_FLOOR",
    "Run",
    "ShareRun",
    "Signs",
    "Totals",
    "ValueRun",
    "percent",
]

OUTAGE: Final = 10.0
"""How many times stable's rate gray's must be to count while it warms up, …"""

OUTAGE_FLOOR: Final = 0.1
"""… and which share of its requests must be bad."""

_NEARLY: Final = 0.9
"""Part of 1 or of 100 above which all values of a metric are taken for shares of good requests."""

_DOWN: Final = 0.5
"""Share of failed requests above which no version is good, unless the floor says so."""

_STEADY: Final = 5
"""Intervals at the present weight after which a value beyond the margin points to harm."""

NEAR: Final = 0.75
"""How near to the margin, in logarithms, a multiple must come to point to harm, …"""

_EXCESS: Final = 16.0
"""… and how large the deviance of gray's bad requests from an equal share must be: four deviations."""


@dataclass(frozen=True, slots=True)
class Signs:
    """Everything that an answer follows from, for one metric.

    Arguments:
        against: logarithm of the e-value against gray.
        in_favour: of the one in its favour.
        looks: intervals with data of both arms at the present weight, after the warm-up.
        requests: requests gray served in them.
        seen: intervals with data of both arms at the present weight, the warm-up included.
        doubtful: whether the present weight alone looks worse, half way to the margin, or the rates jump so
            that nothing is sure.
        excess: whether gray had far more bad requests than its share, by a multiple beyond the margin.
        sooner: what `against` is, if no drift lasts as long as the memory says.
    """

    against: Number
    in_favour: Number
    looks: Number
    requests: Number
    seen: Number
    doubtful: Number
    excess: Number
    sooner: Number

    def of(self, release: int) -> Signs:
        """Those of one release, where each is an array of many releases'."""
        return Signs(*(one if isinstance(one, (int, float)) else one[release].item() for one in self._all()))

    def _all(self) -> Iterator[Number]:
        return (getattr(self, name) for name in self.__dataclass_fields__)


class Totals:
    """Sums over intervals of what both arms showed; each a `Number`."""

    def __init__(self) -> None:
        self.looks: Number = 0
        self.stable: Number = 0.0
        self.stable_bad: Number = 0.0
        self.gray: Number = 0.0
        self.gray_bad: Number = 0.0
        self.expected: Number = 0.0
        """Bad requests that gray would have had by its share of the requests."""
        self.weighed_gray: Number = 0.0
        self.weighed_stable: Number = 0.0
        """Bad requests as the estimate of Mantel and Haenszel weighs them: its quotient is the ratio."""

    def add(self, draws: Draws, fresh: Number = False) -> None:
        """Add one interval.

        Arguments:
            draws: what both arms showed.
            fresh: whether to forget everything before.
        """
        both = (draws.stable > 0) & (draws.gray > 0)
        share = where(both, draws.gray / where(both, draws.gray + draws.stable, 1.0), 0.0)
        bad = draws.gray_bad + draws.stable_bad
        more = {
            "looks": where(both, 1, 0),
            "stable": draws.stable,
            "stable_bad": draws.stable_bad,
            "gray": draws.gray,
            "gray_bad": draws.gray_bad,
            "expected": bad * share,
            "weighed_gray": draws.gray_bad * (1.0 - share),
            "weighed_stable": draws.stable_bad * share,
        }
        for name, one in more.items():
            setattr(self, name, where(fresh, 0, getattr(self, name)) + one)

    def shares(self) -> tuple[float | None, float | None]:
        """Of bad requests: stable's and gray's."""
        stable = self.stable_bad / self.stable if self.stable else None
        gray = self.gray_bad / self.gray if self.gray else None
        return stable, gray

    def worse(self, ratio: float) -> Number:
        """Whether gray's rate is at least so many times stable's, interval by interval."""
        return (self.weighed_gray > 0) & (self.weighed_gray >= ratio * self.weighed_stable)

    def beyond(self, floor: Number) -> Number:
        """Whether gray's rate is above a floor."""
        return self.gray_bad > floor * self.gray

    @property
    def deviance(self) -> Number:
        """How far gray's bad requests are from an equal share, if they are more; 0 else (Poisson)."""
        expected, found = larger(self.expected, 1e-9), self.gray_bad
        more = 2.0 * (found * log(larger(found, 1e-9) / expected) - (found - expected))
        return where(found > expected, more, 0.0)


_TELLING: Final = log(10.0)
"""Logarithm of the evidence from which an outage in a warm-up is what people are told of."""


class ShareRun:
    """A metric that counts bad requests.

    Arguments:
        metric: of kind `errors` or `latency`.
        wander, memory: as in the judge's policy.
    """

    def __init__(self, metric: MetricPolicy, wander: float, memory: float = MEMORY) -> None:
        self.metric = metric
        follows = metric.floor is None
        floor = metric.most_floor
        self.bets = ShareBets(metric.tolerance, metric.margin, floor, wander, memory, follows=follows)
        self.totals = Totals()
        tolerance = max(metric.tolerance, OUTAGE - 1.0)
        margin, floor = max(metric.margin, tolerance), max(floor, OUTAGE_FLOOR)
        self._cold = ShareBets(tolerance, margin, floor, wander, memory)
        self._step, self._warming = Totals(), Totals()
        self._cold_looks: Number = 0
        self._bad = BadRequests(metric)

    def see(self, arms: tuple[ArmCounts, ArmCounts] | None, *, new_weight: bool, cold: bool) -> None:
        """Take in one interval.

        Arguments:
            arms: stable and gray, or None without data of both.
            new_weight: whether gray's share of the traffic was changed before it.
            cold: whether gray warms up after that: then nothing but an outage counts.
        """
        self.see_draws(
            self._bad.read(*arms) if arms else Draws(0.0, 0.0, 0.0, 0.0), new_weight=new_weight, cold=cold
        )

    def see_draws(self, draws: Draws, *, new_weight: Number, cold: Number) -> None:
        """Take in one interval of counted requests; arguments as for `see`."""
        warm = draws.times(where(cold, 0.0, 1.0))
        self.bets.see(warm, new_weight=new_weight)
        chilled = draws.times(where(cold, 1.0, 0.0))
        self._cold.see(chilled, new_weight=new_weight)
        self._warming.add(chilled)
        self.totals.add(warm)
        self._step.add(warm, fresh=new_weight)
        both = (draws.stable > 0) & (draws.gray > 0)
        self._cold_looks = where(new_weight, 0, self._cold_looks) + where(both & cold, 1, 0)

    @property
    def signs(self) -> Signs:
        """What an answer follows from."""
        step, limit = self._step, 1.0 + self.metric.margin
        return Signs(
            against=larger(self.bets.against, self._cold.against),
            in_favour=self.bets.in_favour,
            looks=step.looks,
            requests=step.gray,
            seen=step.looks + self._cold_looks,
            doubtful=(step.worse(limit**0.5) & step.beyond(self.bets.floor)) | self._jumps,
            sooner=larger(self.bets.sooner, self._cold.sooner),
            excess=self._excess(step) | self._excess(self.totals) | self._mostly_fails,
        )

    @property
    def _jumps(self) -> Number:
        """Whether the rates drift further than expected, and gray's is not the lower one all the same."""
        return (self.bets.storm > 0) & (self._step.worse(1.0) | self.totals.worse(1.0))

    @property
    def _mostly_fails(self) -> Number:
        """Whether gray is down, as stable may be: good is nothing that fails most of its requests."""
        return (self.metric.kind == "errors") & self._step.beyond(larger(self.bets.floor, _DOWN))

    def _excess(self, totals: Totals) -> Number:
        limit = (1.0 + self.metric.margin) ** NEAR
        return (totals.deviance >= _EXCESS) & totals.worse(limit) & totals.beyond(self.bets.floor)

    @property
    def _told(self) -> Totals:
        """What a verdict tells of: the warm-ups where an outage shows in them, else what came after."""
        outage = self._cold.against > larger(self.bets.against, _TELLING)
        return self._warming if outage else self.totals

    def levels(self) -> tuple[float | None, float | None]:
        """Share of stable and of gray."""
        return self._told.shares()

    def doubt(self) -> str:
        """What the present weight alone says against passing, whatever the bets say; empty if nothing."""
        if not self.signs.doubtful:
            return ""
        if self._jumps:
            return f"gray's rate jumps between intervals: {self.seen()}"
        stable, gray = self._step.shares()
        return f"at the present weight alone it is {percent(gray)} of gray, {percent(stable)} of stable"

    def seen(self) -> str:
        """What was seen of both arms, as a clause with numbers."""
        told = self._told
        stable, gray = told.shares()
        if self.metric.kind == "errors":
            verb = "failed"
        elif self._bad.bound:
            verb = f"took longer than {self._bad.bound:g} s"
        else:
            verb = "were slow"
        when = "" if told is self.totals else ", while it warmed up"
        drift = self.bets.storm if self._jumps else 0.0
        alone = f"; each drifts by itself by about {drift:.2g}, more than 'wander' says" if drift else ""
        return (
            f"{percent(gray)} of gray's {told.gray:,.0f} requests {verb}, "
            f"{percent(stable)} of stable's {told.stable:,.0f}{when}{alone}"
        )


class ValueRun:
    """A metric that is a plain number an interval; its means are over the intervals with data.

    Its methods are those of `ShareRun`.

    Arguments:
        metric: of kind `value`.
    """

    def __init__(self, metric: MetricPolicy) -> None:
        self.metric = metric
        self.bets = ValueBets(metric.tolerance, metric.margin)
        self.totals = Totals()
        self._limit = 1 + metric.margin
        self._range = inf, -inf
        self._sums = self._step = (0.0, 0.0)
        self._requests = 0.0
        self._looks = self._seen = 0
        self._unusable = 0

    def see(self, arms: tuple[ArmCounts, ArmCounts] | None, *, new_weight: bool, cold: bool) -> None:
        if new_weight:
            self._step, self._requests, self._looks, self._seen = (0.0, 0.0), 0.0, 0, 0
        if not arms:
            return
        stable, gray = (point(self.metric, arm) for arm in arms)
        if stable is None or gray is None or min(stable, gray) < 0:
            self._unusable += 1
            return
        self._seen += 1
        if cold:
            return
        self._looks += 1
        self._range = min(self._range[0], stable, gray), max(self._range[1], stable, gray)
        self._requests += arms[1].requests
        self.totals.looks += 1
        self.totals.stable += arms[0].requests
        self.totals.gray += arms[1].requests
        self._sums = (self._sums[0] + stable, self._sums[1] + gray)
        self._step = (self._step[0] + stable, self._step[1] + gray)
        # less than a twentieth of the mean so far is taken for that: nothing at all is a value, too
        least = sum(self._sums) / (40 * self.totals.looks) or 1.0
        worse = self.metric.higher_is == "worse"
        above, below = (gray, stable) if worse else (stable, gray)
        self.bets.see(max(below, least), max(above, least), new_weight=new_weight)

    @property
    def signs(self) -> Signs:
        worse = bool(self.doubt())
        return Signs(
            against=self.bets.against,
            in_favour=self.bets.in_favour,
            looks=self._looks,
            requests=self._requests,
            seen=self._seen,
            doubtful=worse,
            sooner=self.bets.against,
            excess=worse and self._looks >= _STEADY,
        )

    def levels(self) -> tuple[float | None, float | None]:
        looks = self.totals.looks
        return (self._sums[0] / looks, self._sums[1] / looks) if looks else (None, None)

    def doubt(self) -> str:
        stable, gray = self._step if self.metric.higher_is == "worse" else self._step[::-1]
        if gray <= self._limit * stable:
            return self._lacks()
        if not stable:
            return f"at the present weight it is {gray / self._looks:.3g} where the other is nothing"
        return f"it is {gray / stable:.3g} times as bad at the present weight alone"

    def _lacks(self) -> str:
        """What gray lacks of a whole, where both seem to be shares of good requests; empty if no more."""
        for whole in (1.0, 100.0):
            if (
                self.metric.higher_is == "better"
                and _NEARLY * whole <= self._range[0] <= self._range[1] <= whole
            ):
                stable, gray = (
                    (whole - sum_ / self._looks for sum_ in self._step) if self._looks else (0.0, 0.0)
                )
                if gray > self._limit * stable + 1e-9 * whole:
                    return (
                        f"gray lacks {gray:.3g} of {whole:g}, stable {stable:.3g}: if that is a share of "
                        "good requests, ask for the failed ones with 'kind: errors'"
                    )
        return ""

    def seen(self) -> str:
        stable, gray = self.levels()
        lacks = self._lacks()
        skipped = (
            f" ({self._unusable} intervals without a value of 0 or more left out)" if self._unusable else ""
        )
        return (
            f"on average {gray:.4g} of gray, {stable:.4g} of stable in {self.totals.looks} intervals{skipped}"
            + (f"; {lacks}" if lacks else "")
        )


Run: TypeAlias = ShareRun | ValueRun
"""One metric, taking in one interval after the other."""


def percent(share: float | None) -> str:
    """A share for people, with three digits."""
    return "an unknown share" if share is None else f"{100 * share:.3g}%"
