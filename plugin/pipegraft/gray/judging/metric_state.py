"""One metric through a release: its bets, its totals, and what speaks against passing it now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pipegraft.gray.judging.binomial import ShareBets
from pipegraft.gray.judging.readings import BadRequests, Draws, point
from pipegraft.gray.judging.values import ValueBets
from pipegraft.gray.model.judgement import MetricPolicy
from pipegraft.gray.model.observation import ArmCounts

__all__ = ["Bets", "Run", "ShareRun", "ValueRun", "percent"]


class Bets(Protocol):
    """What a sequential test of one metric has to say."""

    @property
    def against(self) -> float:
        """Logarithm of the e-value against gray."""

    @property
    def in_favour(self) -> float:
        """Logarithm of the e-value in favour of gray."""

    @property
    def estimate(self) -> float | None:
        """How many times stable's gray's is."""

    def interval(self, alpha: float) -> tuple[float | None, float | None]:
        """Ends of the estimate's interval that holds at all looks together."""


class Run(Protocol):
    """One metric, taking in one interval after the other."""

    metric: MetricPolicy
    totals: Totals

    @property
    def bets(self) -> Bets:
        """What the intervals so far say."""

    def see(self, arms: tuple[ArmCounts, ArmCounts] | None, *, new_weight: bool) -> None:
        """Take in one interval.

        Arguments:
            arms: stable and gray, or None without data of both.
            new_weight: whether gray's share of the traffic was changed before it.
        """

    def levels(self) -> tuple[float | None, float | None]:
        """Share or mean value of stable and of gray."""

    def doubt(self) -> str:
        """What the present weight alone says against passing, whatever the bets say; empty if nothing."""

    def seen(self) -> str:
        """What was seen of both arms, as a clause with numbers."""


@dataclass(slots=True)
class Totals:
    """Sums over intervals."""

    looks: int = 0
    stable: float = 0.0
    stable_bad: float = 0.0
    gray: float = 0.0
    gray_bad: float = 0.0

    def add(self, draws: Draws) -> None:
        """Add one interval."""
        self.looks += 1
        self.stable += draws.stable
        self.stable_bad += draws.stable_bad
        self.gray += draws.gray
        self.gray_bad += draws.gray_bad

    def shares(self) -> tuple[float | None, float | None]:
        """Of bad requests: stable's and gray's."""
        stable = self.stable_bad / self.stable if self.stable else None
        gray = self.gray_bad / self.gray if self.gray else None
        return stable, gray


class ShareRun:
    """A metric that counts bad requests.

    Arguments:
        metric: of kind `errors` or `latency`.
        wander: as in the judge's policy.
    """

    def __init__(self, metric: MetricPolicy, wander: float) -> None:
        self.metric = metric
        self.bets = ShareBets(metric.tolerance, metric.margin, metric.floor, wander)
        self.totals = Totals()
        self._step = Totals()
        self._bad = BadRequests(metric)

    def see(self, arms: tuple[ArmCounts, ArmCounts] | None, *, new_weight: bool) -> None:
        if new_weight:
            self._step = Totals()
        if arms:
            draws = self._bad.read(*arms)
            self.bets.see(draws, new_weight=new_weight)
            self.totals.add(draws)
            self._step.add(draws)

    def levels(self) -> tuple[float | None, float | None]:
        return self.totals.shares()

    def doubt(self) -> str:
        stable, gray = self._step.shares()
        if gray and gray > self.metric.floor and gray >= (1 + self.metric.margin) * (stable or 0.0):
            return f"at the present weight alone it is {percent(gray)} of gray, {percent(stable)} of stable"
        return ""

    def seen(self) -> str:
        stable, gray = self.totals.shares()
        if self.metric.kind == "errors":
            verb = "failed"
        elif self._bad.bound:
            verb = f"took longer than {self._bad.bound:g} s"
        else:
            verb = "were slow"
        drift = self.bets.drift
        alone = f"; each drifts by itself by about {drift:.2g}, more than 'wander' says" if drift else ""
        return (
            f"{percent(gray)} of gray's {self.totals.gray:,.0f} requests {verb}, "
            f"{percent(stable)} of stable's {self.totals.stable:,.0f}{alone}"
        )


class ValueRun:
    """A metric that is a plain number an interval; its means are over the intervals with data.

    Arguments:
        metric: of kind `value`.
    """

    def __init__(self, metric: MetricPolicy) -> None:
        self.metric = metric
        self.bets = ValueBets(metric.tolerance, metric.margin)
        self.totals = Totals()
        self._limit = 1 + metric.margin
        self._sums = self._step = (0.0, 0.0)
        self._unusable = 0

    def see(self, arms: tuple[ArmCounts, ArmCounts] | None, *, new_weight: bool) -> None:
        if new_weight:
            self._step = (0.0, 0.0)
        if not arms:
            return
        stable, gray = (point(self.metric, arm) for arm in arms)
        if not (stable and gray and stable > 0 and gray > 0):
            self._unusable += 1
            return
        self.totals.add(Draws(arms[0].requests, 0.0, arms[1].requests, 0.0))
        self._sums = (self._sums[0] + stable, self._sums[1] + gray)
        self._step = (self._step[0] + stable, self._step[1] + gray)
        if self.metric.higher_is == "worse":
            self.bets.see(stable, gray)
        else:
            self.bets.see(gray, stable)

    def levels(self) -> tuple[float | None, float | None]:
        looks = self.totals.looks
        return (self._sums[0] / looks, self._sums[1] / looks) if looks else (None, None)

    def doubt(self) -> str:
        stable, gray = self._step
        if not (stable and gray):
            return "no value above 0 at the present weight"
        ratio = gray / stable if self.metric.higher_is == "worse" else stable / gray
        return f"it is {ratio:.3g} times as bad at the present weight alone" if ratio > self._limit else ""

    def seen(self) -> str:
        stable, gray = self.levels()
        skipped = f" ({self._unusable} intervals without a value above 0 left out)" if self._unusable else ""
        return (
            f"on average {gray:.4g} of gray, {stable:.4g} of stable in {self.totals.looks} intervals{skipped}"
        )


def percent(share: float | None) -> str:
    """A share for people, with three digits."""
    return "an unknown share" if share is None else f"{100 * share:.3g}%"
