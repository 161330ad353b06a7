"""A change goes through a fleet in waves, and back again if those it reached fare worse.

Nothing is remembered but what the forge holds: which projects have the change, which merge requests are
open, and how pipelines ended since. A run that was cut short, or one an hour later, goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from pipegraft.core.errors import DeliveryRefused, PipegraftError
from pipegraft.core.ports import Clock, Event, Progress
from pipegraft.fleet.ports import Change, Forge, ForgeProject, Proposal
from pipegraft.fleet.usecases.edits import Reader
from pipegraft.fleet.usecases.projects import Campaign, Outcome, propose_to_all
from pipegraft.fleet.waves import Tally, Trend, compare, in_order, out_of_reach, tally, wave_sizes

__all__ = ["RollOut", "Watch", "plan_waves", "roll_out"]

_RUNS = 40
"""Pipelines of a project that are looked at, both before and since."""
_CONTROLS = 20
"""Projects without the change that are compared with."""


@dataclass(frozen=True, slots=True)
class Watch:
    """How a wave is watched.

    Arguments:
        steps: share of the fleet that has the change after each wave, rising to 1.
        wait: seconds this process may wait for merges and pipelines; 0 does what is due and leaves.
        poll: seconds between two looks.
        min_runs: pipelines that each project of a wave must have finished since.
        alpha: how often a harmless change may be taken back.
        jobs: how many projects to work on at once.
    """

    steps: Sequence[float]
    wait: float = 0.0
    poll: float = 60.0
    min_runs: int = 1
    alpha: float = 0.05
    jobs: int = 8


@dataclass(frozen=True, slots=True)
class RollOut:
    """Where a change stands.

    Arguments:
        state: `done`: everybody has it; `waiting`: for merges or pipelines; `reverted`: it was taken back, by
            merge requests that undo it.
        wave, waves: which wave this is about, counted from 1, of how many.
        note: why, one line.
        outcomes: of the projects of this wave and those before it.
        reverts: the merge requests that undo it.
    """

    state: Literal["done", "waiting", "reverted"]
    wave: int
    waves: int
    note: str
    outcomes: Sequence[Outcome]
    reverts: Sequence[Proposal] = field(default=())


def roll_out(
    forge: Forge,
    campaign: Campaign,
    watch: Watch,
    *,
    projects: Sequence[ForgeProject],
    clock: Clock,
    progress: Progress,
) -> RollOut:
    """Bring a change to a fleet, wave by wave, as far as this process may wait.

    A wave begins once every project of the wave before has the change, and its pipelines since have ended
    no worse than before, compared with projects that lack it. If they ended worse, merge requests undo it in
    all projects that have it, and this change goes no further.

    Arguments:
        projects: the fleet.
    """
    concerned = _concerned(forge, campaign, projects, watch.jobs)
    sizes = wave_sizes(len(concerned), watch.steps)
    driver = _Driver(forge, campaign, watch, progress, concerned)
    if driver.was_taken_back():
        outcomes, reverts = driver.finish_taking_back(concerned)
        return RollOut("reverted", len(sizes), len(sizes), "it was taken back", outcomes, reverts)
    until = clock.now() + watch.wait
    note, outcomes = "no project is concerned", []
    for number, size in enumerate(sizes, 1):
        wave = f"wave {number} of {len(sizes)}"
        while True:
            outcomes = driver.propose(concerned[:size])
            standing = driver.judge(outcomes, concerned[size:])
            note = standing.note
            if standing.worse:
                reverts = driver.take_back([one.project for one in outcomes if one.at_target], note)
                return RollOut("reverted", number, len(sizes), note, outcomes, reverts)
            if standing.passed:
                break
            progress.emit(Event("progress", note, wave))
            if clock.now() >= until:
                return RollOut("waiting", number, len(sizes), note, outcomes)
            clock.sleep(min(watch.poll, until - clock.now()))
        progress.emit(Event("judgement", note, wave))
    return RollOut("done", len(sizes), len(sizes), note, outcomes)


def plan_waves(
    forge: Forge, campaign: Campaign, watch: Watch, *, projects: Sequence[ForgeProject], progress: Progress
) -> list[list[Outcome]]:
    """What each wave would bring to whom; nothing is proposed.

    Raises:
        DeliveryRefused: the change was taken back before, and goes no further.
    """
    if _taken_back(forge, campaign):
        raise DeliveryRefused(
            f"'{campaign.title}' was taken back before, and goes no further",
            fix="release what is mended as another version",
        )
    concerned = _concerned(forge, campaign, projects, watch.jobs)
    outcomes = propose_to_all(forge, campaign, concerned, progress, jobs=watch.jobs, dry_run=True)
    sizes = wave_sizes(len(concerned), watch.steps)
    return [outcomes[start:end] for start, end in pairwise((0, *sizes))]


def _undo_branch(campaign: Campaign) -> str:
    return f"{campaign.branch}-revert"


def _taken_back(forge: Forge, campaign: Campaign) -> bool:
    return any(one.state != "closed" for one in forge.proposals(_undo_branch(campaign)).values())


def _concerned(
    forge: Forge, campaign: Campaign, projects: Sequence[ForgeProject], jobs: int
) -> list[ForgeProject]:
    """The projects that a change is for, in the order it reaches them."""

    def concerns(project: ForgeProject) -> bool:
        if out_of_reach(project):
            return False
        try:
            return not campaign.edit(Reader(forge, project)).skipped
        except PipegraftError:
            return True  # what is wrong there is said when its wave comes

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        found = [project for project, yes in zip(projects, pool.map(concerns, projects), strict=True) if yes]
    return in_order(found, campaign.branch)


@dataclass(frozen=True, slots=True)
class _Standing:
    """A wave at one look."""

    note: str
    passed: bool = False
    worse: bool = False


class _Driver:
    """One process with one change; asks the forge again only for what can have changed."""

    def __init__(
        self,
        forge: Forge,
        campaign: Campaign,
        watch: Watch,
        progress: Progress,
        projects: Sequence[ForgeProject],
    ) -> None:
        self._forge = forge
        self._campaign = campaign
        self._projects = projects
        self._watch = watch
        self._progress = progress
        self._undo = _undo_branch(campaign)
        self._outcomes: dict[int, Outcome] = {}
        self._merged: Mapping[int, Proposal] = {}

    def was_taken_back(self) -> bool:
        """Whether a run before this one found the change harmful."""
        return _taken_back(self._forge, self._campaign)

    def propose(self, members: Sequence[ForgeProject]) -> list[Outcome]:
        """Propose the change to members of a wave that neither have it nor have it open."""
        self._merged = self._forge.proposals(self._campaign.branch)
        due = [project for project in members if not self._is_settled(project)]
        for outcome in propose_to_all(
            self._forge, self._campaign, due, self._progress, jobs=self._watch.jobs
        ):
            self._outcomes[outcome.project.id] = outcome
        return [self._outcomes[project.id] for project in members]

    def _is_settled(self, project: ForgeProject) -> bool:
        outcome = self._outcomes.get(project.id)
        if outcome is None or outcome.at_target:
            return outcome is not None
        if self._campaign.auto_merge:  # the merge may have been refused so far: it is asked for at each look
            return False
        now = self._merged.get(project.id)
        return now is not None and now.state == "opened" and outcome.state == "waiting"

    def judge(self, outcomes: Sequence[Outcome], rest: Sequence[ForgeProject]) -> _Standing:
        """Whether a wave has what it should, and how it fares since.

        Arguments:
            outcomes: of the wave's members.
            rest: the projects whose wave has not come.
        """
        trend, fewest = self._trend([one.project for one in outcomes if one.at_target], rest)
        if trend.worse:
            return _Standing(f"pipelines fail more often: {trend.text}", worse=True)
        movable = [one for one in outcomes if one.state not in {"declined", "refused", "skipped"}]
        missing = sum(not one.at_target for one in movable)
        if missing:
            return _Standing(f"{missing} of {len(movable)} projects do not have it yet")
        if fewest < self._watch.min_runs:
            return _Standing(f"a project has finished {fewest} of {self._watch.min_runs} pipelines since")
        return _Standing(f"no worse than before: {trend.text}", passed=True)

    def _trend(self, reached: Sequence[ForgeProject], rest: Sequence[ForgeProject]) -> tuple[Trend, int]:
        """How projects with the change fare, and the fewest pipelines one of them has finished since.

        A project that had the change before there was a merge request for it says nothing, and neither does
        one that never had a pipeline, as IaC repositories may.
        """
        before, since, fewest, first = Tally(), Tally(), self._watch.min_runs, None
        for project in reached:
            at = self._merged[project.id].merged_at if project.id in self._merged else None
            if at is None:
                continue
            runs = self._forge.runs(project, _RUNS)
            if not runs:
                continue
            later = tally(run for run in runs if run.created >= at)
            before += tally(run for run in runs if run.created < at)
            since += later
            fewest = min(fewest, later.total)
            first = at if first is None else min(first, at)
        control = Tally()
        if first is not None and since.failed:
            for project in rest[:_CONTROLS]:
                control += tally(run for run in self._forge.runs(project, _RUNS) if run.created >= first)
        return compare(before, since, control, self._watch.alpha), fewest

    def take_back(self, reached: Sequence[ForgeProject], reason: str) -> list[Proposal]:
        """Merge requests that undo the change in every project that got it by one.

        Where it is still open it is closed first: it may have been asked to merge itself.
        """
        self._withdraw(reason)
        title = f'Revert "{self._campaign.title}"'
        change = Change(self._undo, {}, {}, "0", title, reason, self._campaign.labels)
        known, made = self._forge.proposals(self._undo), []
        for project in reached:
            merged, held = self._merged.get(project.id), known.get(project.id)
            try:
                if merged and merged.state == "merged" and (held is None or held.state == "closed"):
                    held = self._forge.revert(project, merged, change)
                if held and held.state == "opened" and self._campaign.auto_merge:
                    self._forge.merge_when_ready(project, held)
            except PipegraftError as error:  # the others must not wait for this one
                message = f"cannot be undone: {error.problem.message}"
                self._progress.emit(Event("failed", message, project.path))
                continue
            made += [held] if held else []
        return made

    def _withdraw(self, reason: str) -> None:
        waiting = {number for number, one in self._merged.items() if one.state == "opened"}
        for project in self._projects:
            if project.id not in waiting:
                continue
            try:
                self._forge.withdraw(project, self._merged[project.id])
            except PipegraftError as error:  # the others must not wait for this one
                message = f"its merge request stays open: {error.problem.message}"
                self._progress.emit(Event("failed", message, project.path))
            else:
                self._progress.emit(Event("warning", f"closed unmerged: {reason}", project.path))

    def finish_taking_back(
        self, concerned: Sequence[ForgeProject]
    ) -> tuple[Sequence[Outcome], Sequence[Proposal]]:
        """What a run that died in the middle of it has left to undo."""
        self._merged = self._forge.proposals(self._campaign.branch)
        outcomes = propose_to_all(
            self._forge, self._campaign, concerned, self._progress, jobs=self._watch.jobs, dry_run=True
        )
        self.take_back([one.project for one in outcomes if one.at_target], "it was taken back elsewhere")
        return outcomes, list(self._forge.proposals(self._undo).values())
