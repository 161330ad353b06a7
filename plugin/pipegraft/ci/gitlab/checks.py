"""Why GitLab refuses a configuration, as far as its files tell: what its own linter says first.

Source: the messages and conditions of `Gitlab::Ci::YamlProcessor`. What another project's include may define
is not held against the team.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipegraft.ci.gitlab.pipeline import Pipeline

__all__ = ["complaints"]

_WHEN = frozenset({"on_success", "on_failure", "always", "manual", "delayed", "never"})
_LONGEST_NAME = 255


def complaints(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """What is wrong with a configuration: the job, empty for the whole, and a clause."""
    visible = {name: job for name, job in pipeline.jobs.items() if not name.startswith(".")}
    if not visible and not pipeline.opaque:
        yield "", "it has no visible job"
    for name, job in visible.items():
        for clause in _of_job(name, job, pipeline):
            yield name, clause
    for name in _in_circle(visible):
        yield name, "its 'needs' lead into a circle"


def _of_job(name: str, job: Mapping[str, Any], pipeline: Pipeline) -> Iterator[str]:
    if len(name) > _LONGEST_NAME:
        yield f"its name is longer than {_LONGEST_NAME} characters"
    if "rules" in job and ("only" in job or "except" in job):
        yield "it has 'rules' beside 'only' or 'except'"
    if job.get("when", "on_success") not in _WHEN:
        yield f"'when' is {job['when']!r}, expected one of {', '.join(sorted(_WHEN))}"
    for word in ("script", "trigger"):
        if word in job and not job[word]:
            yield f"its '{word}' is empty"
    if pipeline.opaque:
        return
    unknown = job.get("extends")
    if unknown:
        yield f"it extends '{unknown[0]}', which nothing defines"
        return
    if not _OWN_WORK & job.keys():
        yield "it has no 'script', 'run' or 'trigger'"
    yield from _order(job, pipeline)


_OWN_WORK = frozenset({"script", "run", "trigger"})


def _order(job: Mapping[str, Any], pipeline: Pipeline) -> Iterator[str]:
    stage = str(job.get("stage", "test"))
    known = (".pre", *pipeline.stages.stages, ".post")
    if not pipeline.stages.uncertain and stage not in known:
        yield f"its stage '{stage}' is not among {', '.join(known)}"
    for other in _required(job.get("needs")):
        if other not in pipeline.jobs:
            yield f"it needs '{other}', which nothing defines"


def _required(needs: Any) -> Iterator[str]:
    for need in needs if isinstance(needs, list) else ():
        entry = need if isinstance(need, Mapping) else {"job": need}
        elsewhere = {"pipeline", "project", "parallel"} & entry.keys()
        if isinstance(entry.get("job"), str) and not entry.get("optional") and not elsewhere:
            yield entry["job"]


def _in_circle(jobs: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    needs = {name: [one for one in _required(job.get("needs")) if one in jobs] for name, job in jobs.items()}
    done: set[str] = set()
    while free := [name for name in needs if name not in done and done.issuperset(needs[name])]:
        done.update(free)
    yield from (name for name in needs if name not in done and needs[name])
