"""What each event makes of a configuration: which pipelines come into being, and which jobs are in them.

Sources: https://docs.gitlab.com/ci/pipelines/ for the events, https://docs.gitlab.com/ci/yaml/ for
`workflow` and `include:rules`, and GitLab's own order of deciding (`Gitlab::Ci::Pipeline::Chain`): `workflow`
first, then each job for itself, and no pipeline of jobs in `.pre` and `.post` alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
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
from pipegraft.ci.gitlab.configuration import Layer
from pipegraft.ci.gitlab.manifest import PARENT_SOURCE
from pipegraft.ci.gitlab.pipeline import Pipeline, resolve

__all__ = ["EDGES", "Event", "Seed", "events", "seed"]

EDGES = (".pre", ".post")
"""The stages that are always there, and make no pipeline."""


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
        pipeline: everything in force there.
        started: whether `workflow` lets a pipeline come into being.
        filled: whether there is a job that makes one.
        jobs: job → the ways in which it may be in it; only those that can be.
        why: what `created` hangs on, or why it is no.
    """

    event: Event
    pipeline: Pipeline
    started: Answer
    filled: Answer
    jobs: Mapping[str, tuple[Outcome, ...]]
    why: str = ""

    @property
    def created(self) -> Answer:
        """Whether there is a pipeline."""
        return all_of([self.started, self.filled])

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
    facts = Facts(event.variables, event.pushed, exists, event.delivered)
    pipeline, perhaps = _brought(pipeline, facts)
    root = pipeline.settings.get("variables")
    facts = facts.with_variables(root)
    starts = _starts(pipeline, facts)
    started = _created(starts)
    if started is False:
        return Seed(event, pipeline, False, False, {}, "'workflow' makes no pipeline")
    if len(starts) == 1:
        facts = facts.with_variables(starts[0].variables)
    else:
        facts = facts.without({name for way in starts for name in way.variables})
    jobs: dict[str, tuple[Outcome, ...]] = {}
    for name, job in pipeline.jobs.items():
        if name.startswith("."):
            continue
        ways = outcomes({**job, "variables": _own_variables(job, root)}, facts)
        if any(way.when != "never" for way in ways):
            jobs[name] = (*ways, *perhaps.get(name, ()))
    return _filled(Seed(event, pipeline, started, True, jobs, _depends(starts)))


def _filled(found: Seed) -> Seed:
    """What is known of a pipeline, given what is known of its jobs."""
    pipeline, jobs = found.pipeline, found.jobs
    main = [found.has(name) for name in jobs if pipeline.jobs[name].get("stage") not in EDGES]
    filled = any_of([*main, None] if pipeline.opaque else main)
    if filled is True:
        return found
    reason = "no job runs outside of .pre and .post" if jobs else "no job runs"
    if pipeline.opaque and not any(main):
        reason = f"{reason}, as far as can be read"
    elif filled is None:
        reason = _depends([way for ways in jobs.values() for way in ways])
    return replace(found, filled=filled, why=found.why or reason)


def _own_variables(job: Mapping[str, Any], root: Any) -> Any:
    """What a job says of variables beyond the configuration's, which a rule of `workflow` may replace."""
    given, known = job.get("variables"), root if isinstance(root, Mapping) else {}
    if not isinstance(given, Mapping):
        return None
    return {name: value for name, value in given.items() if name not in known or known[name] != value}


def _brought(pipeline: Pipeline, facts: Facts) -> tuple[Pipeline, Mapping[str, tuple[Outcome, ...]]]:
    """The pipeline of those files that an event brings, and what keeps jobs out that only may come with them.

    Source: https://docs.gitlab.com/ci/yaml/includes/#use-rules-with-include
    """
    if not any(layer.rules for layer in pipeline.layers):
        return pipeline, {}
    comes = [(layer, _comes(layer, facts)) for layer in pipeline.layers]
    sure = {name for layer, ways in comes if _created(ways) for name in layer.values}
    perhaps = {
        name: (Outcome("never", depends=_depends(ways)),)
        for layer, ways in comes
        for name in layer.values
        if _created(ways) is None and name not in sure
    }
    return resolve([layer for layer, ways in comes if _created(ways) is not False]), perhaps


def _comes(layer: Layer, facts: Facts) -> tuple[Outcome, ...]:
    """The ways in which a file comes in: one that is certain, or those of the first rules that are not."""
    every = [outcomes({"rules": one if isinstance(one, list) else [one]}, facts) for one in layer.rules]
    barred = next((ways for ways in every if _created(ways) is False), None)
    unsure = next((ways for ways in every if _created(ways) is None), None)
    return barred or unsure or (Outcome("always"),)


_JOBS_ALONE = re.compile(r"template (Jobs|Security)/")
"""Templates of GitLab's own that Auto DevOps puts together under a `workflow` of its own: they have none."""


def _starts(pipeline: Pipeline, facts: Facts) -> tuple[Outcome, ...]:
    """The ways a pipeline may start, as the strongest file with rules of `workflow` says."""
    for layer in reversed(pipeline.layers):
        depends = ""
        if layer.opaque and not _JOBS_ALONE.match(layer.opaque):
            depends = f"unknown: {layer.opaque} not read"
        workflow = layer.values.get("workflow")
        says = isinstance(workflow, Mapping) and "rules" in workflow
        if says and _created(_comes(layer, facts)) is None:
            depends = _depends(_comes(layer, facts))
        if depends:
            return (Outcome("always", depends=depends), Outcome("never", depends=depends))
        if says:
            break
    workflow = pipeline.settings.get("workflow")
    if not isinstance(workflow, Mapping) or not isinstance(workflow.get("rules"), list):
        return (Outcome("always"),)
    return outcomes(workflow, facts)


def _created(ways: Sequence[Outcome]) -> Answer:
    made = {way.when != "never" for way in ways}
    return None if len(made) > 1 else made.pop()


def _depends(ways: Sequence[Outcome]) -> str:
    return next((way.depends for way in ways if way.depends), "")
