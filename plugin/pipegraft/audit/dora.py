"""How well delivery goes, from the history of one environment's file (dora.dev, "software delivery metrics").

A change of the digests that serve is a deployment, and so is a release that changes configuration alone; a
return to what served before takes back what came since: a failure, a recovery and rework. A gray release
that got requests is a deployment too, even if it is taken back or a newer one takes its place; one that
never got any is none.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pipegraft.audit.release_commits import Book
from pipegraft.audit.release_scan import Digests, digests_in

__all__ = ["DAY", "WEEK", "Deployment", "Figure", "Figures", "Week", "deployments_of", "figures_of"]

DAY = 86400.0
WEEK = 7 * DAY
_MONDAY = 4 * DAY
"""The epoch was a Thursday: its first Monday."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """New digests that got requests.

    Arguments:
        commit: that gave them the first requests.
        release: its number, None if nobody said.
        source: commit of the source repository, empty if nobody said.
        started: when it got its first requests, seconds since the epoch.
        finished: when it got all, None if it never did.
        undone: when it was taken back, None if it was not.
    """

    commit: str
    release: int | None
    source: str
    started: float
    finished: float | None
    undone: float | None = None


def deployments_of(book: Book) -> tuple[list[Deployment], list[float]]:
    """Every deployment, oldest first, and the times at which some were taken back."""
    teller = _Teller()
    for index, version in enumerate(book.versions):
        if index == 0 or version.contents[book.path] is not None:
            teller.tell(book, index)
    return teller.done, teller.reverts


class _Teller:
    """Goes through a history once."""

    def __init__(self) -> None:
        self.done: list[Deployment] = []
        self.reverts: list[float] = []
        self._now = digests_in("")
        self._trial: Deployment | None = None
        self._states: dict[_State, int] = {}

    def tell(self, book: Book, index: int) -> None:
        before, now = self._now, book.digests(index)
        version = book.versions[index]
        made = Deployment(
            version.commit.id,
            book.release_of(index),
            version.trailers.get("Pipegraft-Source-Commit", ""),
            version.commit.time,
            version.commit.time,
        )
        since = self._since(before, now)
        fresh = since is None and _differs(before, now)
        promoted = fresh and _is_promoted(before, now)
        moved_on = (now.gray, now.gray_number) != (before.gray, before.gray_number)
        if self._trial and (promoted or moved_on):
            if promoted:
                made = replace(made, started=self._trial.started, commit=self._trial.commit)
            else:
                newer = now.gray_number is not None or (now.number or 0) > (before.gray_number or 0)
                self._end(self._trial, None if newer else made.started)
            self._trial = None
        if since is not None:
            self._take_back(since, made.started)
        elif fresh:
            self.done.append(made)
        self._remember(now)
        if now.weight and self._trial is None and now.number != now.gray_number:
            self._trial = replace(made, commit=version.commit.id, started=version.commit.time, finished=None)
        self._now = now

    def _since(self, before: Digests, now: Digests) -> int | None:
        """How many deployments there were when this served before, None if it never did."""
        if not _differs(before, now):
            return None
        since = self._states.get((now.stable, now.number))
        return (
            self._states.get((now.stable, None)) if since is None and now.stable != before.stable else since
        )

    def _end(self, trial: Deployment, undone: float | None) -> None:
        """A gray release ended without its promotion: taken back, or replaced by a newer release."""
        self.done.append(replace(trial, undone=undone))
        if undone is not None:
            self.reverts.append(undone)

    def _take_back(self, since: int, time: float) -> None:
        """What served before serves again; what was only tried since has ended by itself."""
        for at in range(since, len(self.done)):
            if self.done[at].undone is None and self.done[at].finished is not None:
                self.done[at] = replace(self.done[at], undone=time)
                if time not in self.reverts[-1:]:
                    self.reverts.append(time)
        self._states = {state: at for state, at in self._states.items() if at <= since}

    def _remember(self, now: Digests) -> None:
        if now.stable:  # the first digests ever have nothing to go back to
            self._states[now.stable, now.number] = self._states[now.stable, None] = len(self.done)


_State = tuple[frozenset[str], int | None]
"""Digests and the release they served under; with None, under the newest one that had them."""


def _differs(before: Digests, now: Digests) -> bool:
    """Whether something else serves: a file without digests serves nothing, which is no change of it."""
    configured = now.number != before.number and now.rest != before.rest
    return bool(now.stable) and (now.stable != before.stable or configured)


def _is_promoted(before: Digests, now: Digests) -> bool:
    """Whether the gray release before is what serves now."""
    by_hand = now.number == before.number and before.gray
    return now.number == before.gray_number or bool(by_hand and before.gray <= now.stable)


@dataclass(frozen=True, slots=True)
class Figure:
    """One of the five.

    Arguments:
        name: ``deployment frequency``, …
        value: None where there is no data.
        unit: ``a week``, ``seconds`` or ``share``.
        basis: what it was computed from, in words.
        proxy: what it stands for, and what it does not see.
    """

    name: str
    value: float | None
    unit: str
    basis: str
    proxy: str


@dataclass(frozen=True, slots=True)
class Week:
    """One week, from Monday 00:00 UTC.

    Arguments:
        start: seconds since the epoch.
        deployments: started in it.
        failed: of these, those that were taken back later.
        lead: median lead time in seconds, None without data.
        recovery: median time to recovery in seconds, None without data.
    """

    start: float
    deployments: int
    failed: int
    lead: float | None
    recovery: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one environment in a window of time.

    Arguments:
        since, until: the window; it begins no earlier than the history.
        figures: the five, in the order they are shown.
        weeks: every week of the window.
        deployments: in the window, oldest first.
    """

    environment: str
    since: float
    until: float
    figures: tuple[Figure, ...]
    weeks: tuple[Week, ...]
    deployments: tuple[Deployment, ...]


def figures_of(
    environment: str,
    told: tuple[Sequence[Deployment], Sequence[float]],
    sources: Mapping[str, float],
    since: float,
    until: float,
) -> Figures:
    """The figures of a window.

    Arguments:
        told: what `deployments_of` answered.
        sources: commit of the source repository → when it was made, seconds since the epoch.
        since, until: the window, `until` excluded.
    """
    inside = [one for one in told[0] if since <= one.started < until]
    reverts = [time for time in told[1] if since <= time < until]
    leads = [time for one in inside if (time := _lead(one, sources)) is not None]
    recoveries = [time for one in inside if (time := _recovery(one)) is not None]
    failed = sum(one.undone is not None for one in inside)
    span = max(until - since, DAY) / WEEK
    count = f"{len(inside)} deployments"
    figures = (
        Figure(
            "deployment frequency",
            len(inside) / span if inside else None,
            "a week",
            f"{count} in {span:.1f} weeks",
            "a change of the environment's file counts, not a rollout in the cluster",
        ),
        Figure(
            "lead time",
            _median(leads),
            "seconds",
            f"median of {len(leads)} of {count} whose source commit is known here"
            if leads
            else "no source commit of a deployment is known here",
            "from the time of the release's source commit to the commit that gave it all requests;"
            " older changes that came with it are not seen",
        ),
        Figure(
            "change failure rate",
            failed / len(inside) if inside else None,
            "share",
            f"{failed} of {count} were taken back",
            "only failures that were taken back in git count, not those mended by a newer release",
        ),
        Figure(
            "recovery time",
            _median(recoveries),
            "seconds",
            f"median of {len(recoveries)} that were taken back",
            "from the commit that gave it its first requests to the one that took it back",
        ),
        Figure(
            "rework rate",
            len(reverts) / (len(inside) + len(reverts)) if inside or reverts else None,
            "share",
            f"{len(reverts)} of {len(inside) + len(reverts)} changes took something back",
            "repairs by a newer release are not told from other releases",
        ),
    )
    return Figures(
        environment, since, until, figures, tuple(_weeks(inside, sources, since, until)), tuple(inside)
    )


def _weeks(
    inside: Sequence[Deployment], sources: Mapping[str, float], since: float, until: float
) -> Iterator[Week]:
    by_week: dict[float, list[Deployment]] = {}
    for one in inside:
        by_week.setdefault(_monday(one.started), []).append(one)
    start = _monday(since)
    while start < until:
        those = by_week.get(start, [])
        yield Week(
            start,
            len(those),
            sum(one.undone is not None for one in those),
            _median([time for one in those if (time := _lead(one, sources)) is not None]),
            _median([time for one in those if (time := _recovery(one)) is not None]),
        )
        start += WEEK


def _monday(time: float) -> float:
    return (time - _MONDAY) // WEEK * WEEK + _MONDAY


def _lead(one: Deployment, sources: Mapping[str, float]) -> float | None:
    written = sources.get(one.source)
    return None if written is None or one.finished is None else max(0.0, one.finished - written)


def _recovery(one: Deployment) -> float | None:
    return None if one.undone is None else max(0.0, one.undone - one.started)


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
