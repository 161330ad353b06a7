"""When delivery runs: which pipelines each event makes, what is in them, and what delivery waits for.

Sources: https://docs.gitlab.com/ci/pipelines/ for the events, https://docs.gitlab.com/ci/yaml/ for
`workflow`, `needs`, `.pre` and `.post`, and GitLab's own order of deciding (`Gitlab::Ci::Pipeline::Chain`):
`workflow` first, then each job for itself, and no pipeline of jobs in `.pre` and `.post` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipegraft.ci.gitlab.conditions import (
    DEFAULT_BRANCH,
    OTHER_BRANCH,
    Answer,
    Facts,
    Outcome,
    all_of,
    any_of,
    outcomes,
)
from pipegraft.ci.gitlab.manifest import PARENT_SOURCE
from pipegraft.ci.gitlab.pipeline import Pipeline
from pipegraft.ci.hooks import EventRow, Sureness

__all__ = ["Event", "Seed", "child_delivers", "event_notes", "event_rows", "events", "loose_jobs", "seed"]

_EDGES = (".pre", ".post")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that may start a pipeline.

    Arguments:
        key: its name for programs.
        name: its name for people.
        variables: what GitLab's predefined variables say; see `Facts`.
        pushed: whether GitLab knows which files changed.
        delivered: the branch that is delivered.
    """

    key: str
    name: str
    variables: Mapping[str, str | None]
    pushed: bool = True
    delivered: str = DEFAULT_BRANCH


def events(branch: str = "", default: str = "") -> tuple[Event, ...]:
    """The events that matter, that which delivers first.

    Arguments:
        branch: the branch that is delivered, empty for the default one.
        default: the default branch's name, empty if it is not known.
    """
    main = default or DEFAULT_BRANCH
    ours = branch or main
    said = branch or "the default branch"
    request: dict[str, Any] = {
        "CI_MERGE_REQUEST_IID": "\0iid",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": ours,
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": OTHER_BRANCH,
    }

    def event(
        key: str, name: str, source: str, of: str | None, *, pushed: bool = True, **more: str | None
    ) -> Event:
        known = {"CI_DEFAULT_BRANCH": main, **more}
        return Event(key, name, _variables(source, of, **known), pushed, ours)

    return (
        event("push", f"push to {said}", "push", ours),
        event("push-elsewhere", "push to another branch", "push", OTHER_BRANCH),
        event(
            *("merge-request", "merge request", "merge_request_event", None),
            **request,
            CI_MERGE_REQUEST_EVENT_TYPE="detached",
        ),
        event(
            *("merge-train", "merge train", "merge_request_event", None),
            **request,
            CI_MERGE_REQUEST_EVENT_TYPE="merge_train",
        ),
        event("tag", "tag", "push", None, pushed=False, CI_COMMIT_TAG="\0tag"),
        event("schedule", "schedule", "schedule", ours, pushed=False),
        event("web", "started by hand", "web", ours, pushed=False),
        event("api", "started by the API", "api", ours, pushed=False),
        event("trigger", "started by a trigger token", "trigger", ours, pushed=False),
        event("pipeline", "started by another project", "pipeline", ours, pushed=False),
        event("child-of-push", "child of a push", "parent_pipeline", ours),
        event("child-of-schedule", "child of a schedule", "parent_pipeline", ours, pushed=False),
    )


_TRIGGERED: Mapping[str, Mapping[str, str | None]] = {
    "trigger": {"CI_PIPELINE_TRIGGERED": "true"},
    "pipeline": {},  # set where a job's token started it, and not where the keyword `trigger` did
}


def _variables(source: str, branch: str | None, **more: str | None) -> dict[str, str | None]:
    default = more["CI_DEFAULT_BRANCH"]
    ref = branch or more.get("CI_COMMIT_TAG") or OTHER_BRANCH
    return {
        "CI": "true",
        "GITLAB_CI": "true",
        "CI_PIPELINE_SOURCE": source,
        "CI_COMMIT_BRANCH": branch,
        "CI_COMMIT_REF_NAME": ref,
        "CI_COMMIT_REF_PROTECTED": "true" if branch == default else "\0protected",
        "CI_COMMIT_TAG": None,
        "CI_MERGE_REQUEST_IID": None,
        **_TRIGGERED.get(source, {"CI_PIPELINE_TRIGGERED": None}),
        "CI_DEPLOY_FREEZE": None,
        PARENT_SOURCE: None,
        **{
            name: f"\0{name}"
            for name in ("CI_COMMIT_MESSAGE", "CI_COMMIT_TITLE", "CI_COMMIT_SHA", "CI_PROJECT_PATH")
        },
        **more,
    }


@dataclass(frozen=True, slots=True)
class Seed:
    """What an event makes of a configuration.

    Arguments:
        event: the event.
        created: whether there is a pipeline.
        jobs: job → the ways in which it may be in it; only those that can be.
        why: what `created` hangs on, or why it is no.
    """

    event: Event
    created: Answer
    jobs: Mapping[str, tuple[Outcome, ...]]
    why: str = ""

    def has(self, job: str) -> Answer:
        """Whether the pipeline has a job, given that there is a pipeline."""
        ways = self.jobs.get(job, ())
        if not ways:
            return False
        return None if any(way.when == "never" for way in ways) else True


def seed(pipeline: Pipeline, event: Event, exists: Callable[[str], bool]) -> Seed:
    """Which pipeline an event makes.

    Arguments:
        pipeline: everything in force.
        event: what happened.
        exists: whether the repository has a file that matches a pattern.
    """
    facts = Facts(event.variables, event.pushed, exists, event.delivered).with_variables(
        pipeline.settings.get("variables")
    )
    workflow = pipeline.settings.get("workflow")
    starts = _outcomes_of_workflow(workflow, facts)
    if len(starts) == 1:
        facts = facts.with_variables(starts[0].variables)
    visible = {name: outcomes(job, facts) for name, job in pipeline.jobs.items() if not name.startswith(".")}
    jobs = {name: ways for name, ways in visible.items() if any(way.when != "never" for way in ways)}
    started = _created(starts)
    if started is False:
        return Seed(event, False, {}, "'workflow' makes no pipeline")
    found = Seed(event, started, jobs, next((way.depends for way in starts if way.depends), ""))
    main = [found.has(name) for name in jobs if pipeline.jobs[name].get("stage") not in _EDGES]
    filled = any_of([*main, None] if pipeline.opaque else main)
    if filled is True:
        return found
    reason = "no job runs outside of .pre and .post" if jobs else "no job runs"
    if pipeline.opaque and not any(main):
        reason = f"{reason}, as far as can be read"
    elif filled is None:
        reason = next((way.depends for ways in jobs.values() for way in ways if way.depends), "")
    return Seed(event, all_of([started, filled]), jobs, found.why or reason)


def _outcomes_of_workflow(workflow: Any, facts: Facts) -> tuple[Outcome, ...]:
    """The ways a pipeline may start; `workflow` without rules says nothing of it."""
    if not isinstance(workflow, Mapping) or not isinstance(workflow.get("rules"), list):
        return (Outcome("always"),)
    return outcomes(workflow, facts)


def _created(ways: Sequence[Outcome]) -> Answer:
    made = {way.when != "never" for way in ways}
    return None if len(made) > 1 else made.pop()


class _Order:
    """What each job of a pipeline waits for."""

    def __init__(self, pipeline: Pipeline, found: Seed) -> None:
        self._jobs = pipeline.jobs
        self._found = found
        inner = dict.fromkeys(one for one in pipeline.stages.stages if one not in _EDGES)
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
        return self._rank.get(str(self._jobs[name].get("stage", "test")), 0.5)


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
    return tuple(_row(pipeline, seed(pipeline, event, exists), delivery) for event in known)


def _row(pipeline: Pipeline, found: Seed, delivery: Collection[str]) -> EventRow:
    ours = [name for name in delivery if name in pipeline.jobs]
    present = all_of([any_of([found.has(name) for name in ours]), found.created])
    row = EventRow(found.event.key, found.event.name, _sure(found.created), _sure(present), why=found.why)
    if present is False:
        return row
    order = _Order(pipeline, found)
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
    if push.delivery == "maybe":
        notes.append(f"Perhaps a {push.name} does not deliver: {push.why or 'that is not known'}.")
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
    if team.opaque:
        notes.append(
            f"{', '.join(team.opaque[:3])} cannot be read from here and may hold further rules and jobs: "
            "--verify lets the server compare."
        )
    return notes


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


def loose_jobs(
    found: Seed, pipeline: Pipeline, chain: Mapping[str, Collection[str]]
) -> Iterator[tuple[str, str]]:
    """Delivery's jobs that start though what comes before them failed or is not done.

    Arguments:
        found: what an event makes of the configuration.
        pipeline: everything in force.
        chain: delivery's jobs, each with those that it follows.

    Returns:
        Each such job, and why it is not held back.
    """
    order = _Order(pipeline, found)
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
