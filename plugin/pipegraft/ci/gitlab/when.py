"""When delivery runs, and what it waits for, as a table of events.

Source: https://docs.gitlab.com/ci/yaml/ for `needs`, `.pre` and `.post`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipegraft.ci.gitlab.conditions import Answer, Outcome, all_of, any_of
from pipegraft.ci.gitlab.manifest import PARENT_SOURCE, branch_condition
from pipegraft.ci.gitlab.pipeline import Pipeline
from pipegraft.ci.gitlab.seeds import EDGES, Event, Seed, seed
from pipegraft.ci.hooks import EventRow, Sureness
from pipegraft.core.errors import Place, Problem

__all__ = [
    "child_delivers",
    "event_notes",
    "event_rows",
    "loose_jobs",
    "unawaited",
    "unread_notes",
    "untimely",
]


class _Order:
    """What each job of a pipeline waits for."""

    def __init__(self, found: Seed) -> None:
        pipeline = found.pipeline
        self._jobs = pipeline.jobs
        self._found = found
        inner = dict.fromkeys(one for one in pipeline.stages.stages if one not in EDGES)
        stages = [".pre", *inner, ".post"]
        self._rank = {stage: number for number, stage in enumerate(stages)}
        self._known: dict[str, frozenset[str]] = {}

    def waits(self, name: str, on_the_way: frozenset[str] = frozenset()) -> frozenset[str]:
        """Every job that must have ended well before a job starts."""
        if name in self._known or name in on_the_way:
            return self._known.get(name, frozenset())
        direct = list(self._direct(name))
        rest = [self.waits(other, on_the_way | {name}) for other in direct]
        self._known[name] = frozenset(direct).union(*rest)
        return self._known[name]

    def _direct(self, name: str) -> Iterator[str]:
        job = self._jobs[name]
        if isinstance(job.get("needs"), list):
            yield from (one for one in _needed(job["needs"]) if one in self._found.jobs)
            return
        rank = self.rank(name)
        yield from (other for other in self._found.jobs if self.rank(other) < rank)

    def rank(self, name: str) -> float:
        """Where a job's stage stands; one that is in no list that can be read comes before those that are."""
        return self._rank.get(str(self._jobs[name].get("stage")), 0.5)


def _needed(needs: Sequence[Any]) -> Iterator[str]:
    for need in needs:
        if isinstance(need, Mapping):
            if "pipeline" not in need and "project" not in need and "job" in need:
                yield str(need["job"])
        else:
            yield str(need)


def event_rows(
    pipeline: Pipeline,
    delivery: Collection[str],
    exists: Callable[[str], bool],
    known: Sequence[Event],
) -> tuple[EventRow, ...]:
    """The table of events for a configuration with delivery.

    Arguments:
        pipeline: everything in force, delivery's jobs among it.
        delivery: names of delivery's jobs.
        exists: whether the repository has a file that matches a pattern.
        known: the events.
    """
    return tuple(_row(seed(pipeline, event, exists), delivery) for event in known)


def _row(found: Seed, delivery: Collection[str]) -> EventRow:
    ours = [name for name in delivery if name in found.pipeline.jobs]
    present = all_of([any_of([found.has(name) for name in ours]), found.created])
    row = EventRow(
        *(found.event.key, found.event.name, _sure(found.created), _sure(present)),
        why=found.why,
        unread=found.pipeline.opaque,
    )
    if present is False:
        return row
    order = _Order(found)
    team = [name for name in found.jobs if name not in ours]
    start = next(name for name in ours if found.has(name) is not False)
    first = order.waits(start)
    after = {name for name in team if order.waits(name) & set(ours)}
    judging = [name for name in team if _can_fail(found.jobs[name])]
    apart = [name for name in judging if name not in first and name not in after]
    return replace(
        row,
        behind=tuple(name for name in judging if name in first),
        passed=tuple(name for name in apart if order.rank(name) < order.rank(start)),
        beside=tuple(name for name in apart if order.rank(name) >= order.rank(start)),
        after=tuple(name for name in judging if name in after),
        waits_for=tuple(name for name in team if name in first and _blocks(found.jobs[name])),
    )


def event_notes(rows: Sequence[EventRow], team: Pipeline) -> list[str]:
    """What a careful person should know of the table of events, one sentence each."""
    push, notes = rows[0], []
    if not push.behind:
        notes.append(
            f"No job of yours runs on a {push.name} before delivery: nothing there tests what it ships."
        )
    if push.waits_for:
        notes.append(f"Delivery waits until somebody starts {', '.join(push.waits_for)}.")
    unawaited = [name for name in push.behind if _starts_and_leaves(team.jobs[name])]
    if unawaited:
        notes.append(
            f"{', '.join(unawaited)} starts another pipeline and does not wait for its end: delivery does "
            "not, either; `strategy: depend` lets both wait."
        )
    beside = [name for name in push.beside if team.jobs[name].get("stage") != ".post"]
    if beside:
        notes.append(f"Delivery does not wait for {', '.join(beside)}, which may fail while it runs.")
    if push.beside and _cancels_all(team.settings.get("workflow")):
        named = " or ".join(push.beside)
        notes.append(f"'auto_cancel: on_job_failure' ends delivery in its middle where {named} fails.")
    if push.after:
        notes.append(f"These jobs of yours wait for delivery: {', '.join(push.after)}.")
    return notes


def unread_notes(rows: Sequence[EventRow]) -> list[str]:
    """What the table of events cannot say, and how it becomes known."""
    push, notes = rows[0], []
    unread = f"{', '.join(push.unread[:3])} cannot be read from here and may hold"
    verify = "--verify URL lets the server say, and compare."
    if push.why.startswith("unknown"):
        return [f"Unknown whether a {push.name} delivers: {unread} a 'workflow' and jobs. {verify}"]
    if push.delivery == "maybe":
        notes.append(f"Perhaps a {push.name} does not deliver: {push.why or 'that is not known'}.")
    if push.unread:
        notes.append(f"{unread} further jobs. {verify}")
    return notes


def untimely(
    rows: Sequence[EventRow], places: Callable[[str], Place], branch: str, laid: str = ""
) -> Iterator[Problem]:
    """Events that should deliver and do not, or deliver and should not, and what delivery passes by.

    Arguments:
        rows: the table of events.
        places: name of a job or keyword → where it stands.
        branch: the branch that is delivered, empty for the default one.
        laid: the job of delivery's that the team sets something on, if there is one.
    """
    push = rows[0]
    if push.delivery == "no":
        yield Problem(
            f"delivery would never run: on a {push.name} {push.why or 'its own rules leave it out'}",
            places("workflow"),
            "let the pipeline come into being there: a rule of 'workflow' or of a job with "
            f"`if: {branch_condition(branch)}`",
        )
    for row in rows:
        if row.event in ("merge-request", "merge-train", "push-elsewhere") and row.delivery != "no":
            yield Problem(
                f"delivery would run on every {row.name}, before anybody agreed to the change",
                places(laid),
                "take the rules that are laid on delivery's jobs out",
            )
    yield from unawaited(push.passed, places)


def unawaited(names: Sequence[str], places: Callable[[str], Place]) -> Iterator[Problem]:
    """Jobs of the team's that can still fail and that delivery does not wait for."""
    fix = "take out what keeps delivery from waiting, or name with --after the stage it is to follow"
    for name in names:
        yield Problem(f"delivery would not wait for '{name}', which can still fail", places(name), fix)


def _cancels_all(workflow: object) -> bool:
    """Whether the first failed job of a pipeline ends all others."""
    rules = workflow.get("rules") if isinstance(workflow, Mapping) else None
    said = [workflow, *(rules if isinstance(rules, list) else ())]
    found = [one.get("auto_cancel") for one in said if isinstance(one, Mapping)]
    return any(isinstance(one, Mapping) and one.get("on_job_failure") == "all" for one in found)


def _starts_and_leaves(job: Mapping[str, object]) -> bool:
    """Whether a job starts a pipeline whose end it does not wait for."""
    trigger = job.get("trigger")
    waits = isinstance(trigger, Mapping) and trigger.get("strategy") in ("depend", "mirror")
    return trigger is not None and not waits


def loose_jobs(found: Seed, chain: Mapping[str, Collection[str]]) -> Iterator[tuple[str, str]]:
    """Delivery's jobs that start though what comes before them failed or is not done.

    Arguments:
        found: what an event makes of the configuration.
        chain: delivery's jobs, each with those that it follows.

    Returns:
        Each such job, and why it is not held back.
    """
    order = _Order(found)
    present = [name for name in chain if name in found.jobs]
    for name in present:
        why = _looseness(found, order, name, chain[name])
        lacking = [one for one in order.waits(present[0]) if one not in order.waits(name)]
        if why or lacking:
            yield name, why or f"it would not wait for '{lacking[0]}'"


def _looseness(found: Seed, order: _Order, name: str, follows: Collection[str]) -> str:
    """Why a job starts before its turn, a clause; empty if it does not."""
    if any(way.when in ("always", "on_failure") for way in found.jobs[name]):
        return "it would start whatever has failed before"
    for other in follows:
        if other not in found.jobs:
            return f"it needs '{other}', which is not in the pipeline"
        if other not in order.waits(name):
            return f"it would not wait for '{other}'"
        if any(way.ignored for way in found.jobs[other]):
            return f"it would start though '{other}' failed, whose failure is allowed"
    return ""


def _sure(answer: Answer) -> Sureness:
    return "maybe" if answer is None else "yes" if answer else "no"


def _can_fail(ways: Sequence[Outcome]) -> bool:
    """Whether a job's failure fails the pipeline that it is in."""
    return any(not way.ignored and way.when not in ("never", "on_failure") for way in ways)


def _blocks(ways: Sequence[Outcome]) -> bool:
    """Whether the pipeline waits until a person starts the job."""
    return any(way.when == "manual" and not way.ignored for way in ways)


def child_delivers(child: Pipeline, known: Sequence[Event]) -> bool:
    """Whether delivery's child pipeline has a job where a push started its parent.

    Arguments:
        child: everything in force in it.
        known: the events.
    """
    of_push = next(one for one in known if one.key == "child-of-push")
    event = replace(of_push, variables={**of_push.variables, PARENT_SOURCE: "push"})
    return seed(child, event, lambda _pattern: False).created is True
