"""A configuration as it takes effect: every job with what it extends, refers to and inherits.

Sources: https://docs.gitlab.com/ci/yaml/ ; the order (includes, `extends`, `!reference`, inheritance) is that
of GitLab's ``Gitlab::Ci::Config``, and why GitLab refuses one is told in the order and by the conditions of
`Gitlab::Ci::YamlProcessor`. What another project's include may define is not held against the team.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from pipegraft.ci.gitlab.configuration import Layer, Reference, deep_merge
from pipegraft.core.errors import EditRefused, Place

__all__ = [
    "DEFAULT_STAGES",
    "Pipeline",
    "StageList",
    "complaints",
    "differences",
    "is_job",
    "is_ours",
    "prove_unchanged",
    "resolve",
    "seconds_of",
    "stage_list",
    "stage_name",
    "written_out",
]

DEFAULT_STAGES = ("build", "test", "deploy")
"""The stages of a configuration without `stages`; ``.pre`` and ``.post`` are always there around them."""

_GLOBAL = frozenset(
    {
        *("after_script", "before_script", "cache", "default", "image", "include", "services"),
        *("spec", "stages", "types", "variables", "workflow"),
    }
)
_INHERITABLE = (
    *("after_script", "artifacts", "before_script", "cache", "hooks", "id_tokens", "identity", "image"),
    *("interruptible", "retry", "services", "tags", "timeout"),
)
_GLOBAL_DEFAULTS = (
    "after_script",
    "before_script",
    "cache",
    "image",
    "services",
)  # outside `default`, obsolete
_DEEPEST_EXTENDS = 11
_DEEPEST_REFERENCE = 10


@dataclass(frozen=True, slots=True)
class StageList:
    """Where the order of stages is written.

    Arguments:
        stages: the list; GitLab's own if none is written.
        file: the file that holds the list in force, None if no readable file does.
        uncertain: what may put another list in force, a clause; empty if nothing can.
    """

    stages: tuple[str, ...]
    file: str | None = None
    uncertain: str = ""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What GitLab would make of a configuration, as far as its files can be read.

    Arguments:
        jobs: name → everything in force for the job; hidden ones (``.name``) as they are written.
        settings: the global keywords except `stages`.
        stages: the order of stages.
        opaque: the includes that could not be read.
        layers: what it consists of, the weakest first.
    """

    jobs: Mapping[str, Any]
    settings: Mapping[str, Any]
    stages: StageList
    opaque: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()


_OURS = "pipegraft"


def stage_name(environment: str | None) -> str:
    """The pipeline stage for the application as a whole, or for one of its environments."""
    return f"{_OURS}:{environment}" if environment else _OURS


def is_ours(stage: str) -> bool:
    """Whether a pipeline stage is one of delivery's."""
    return stage == _OURS or stage.startswith(f"{_OURS}:")


def is_job(name: str, value: Any) -> bool:
    """Whether a top-level key is a job or a hidden template rather than a keyword."""
    return name not in _GLOBAL and (isinstance(value, Mapping) or name.startswith("."))


def resolve(layers: Sequence[Layer]) -> Pipeline:
    """The pipeline that layers make together."""
    merged: dict[str, Any] = _merged([layer.values for layer in layers])
    resolver = _Resolver(merged)
    jobs: dict[str, Any] = {}
    for name, value in merged.items():
        if not is_job(name, value):
            continue
        jobs[name] = value if name.startswith(".") else _in_force(resolver.job(name), merged)
    settings = {name: value for name, value in merged.items() if name not in jobs and name != "stages"}
    opaque = tuple(layer.opaque for layer in layers if layer.opaque)
    return Pipeline(jobs, settings, stage_list(layers), opaque, tuple(layers))


def written_out(layers: Sequence[Layer], name: str) -> dict[str, Any]:
    """A job, hidden or not, with what it extends and refers to; empty if there is none."""
    return _Resolver(_merged([layer.values for layer in layers])).job(name)


def _merged(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    nothing: dict[str, Any] = {}
    return reduce(deep_merge, parts, nothing)


def stage_list(layers: Sequence[Layer]) -> StageList:
    """The list of stages in force: the strongest layer's that has one."""
    uncertain = ""
    for layer in reversed(layers):
        if layer.opaque:
            uncertain = uncertain or f"{layer.opaque} cannot be read from here"
        elif "stages" in layer.values:
            if layer.rules:
                uncertain = uncertain or f"{layer.file} is included under rules"
            stages = _flat(layer.values["stages"])
            if stages is None:
                return StageList((), layer.file, uncertain or "'stages' is not a plain list of names")
            return StageList(tuple(stages), layer.file, uncertain)
    return StageList(DEFAULT_STAGES, None, uncertain)


def _flat(stages: Any) -> list[str] | None:
    """The names in a list of stages, whose items may be lists (up to ten deep); None for anything else."""
    if isinstance(stages, str):
        return [stages]
    parts = [_flat(one) for one in stages] if isinstance(stages, list) else [None]
    return None if None in parts else [name for part in parts for name in part or ()]


class _Resolver:
    """Resolves `extends`, then `!reference`."""

    def __init__(self, merged: Mapping[str, Any]) -> None:
        self._merged = merged
        self._extended: dict[str, Any] = {}

    def job(self, name: str) -> dict[str, Any]:
        found = self._follow(self._extend(name, 0), 0)
        return found if isinstance(found, dict) else {}

    def _extend(self, name: str, depth: int) -> Any:
        if name in self._extended:
            return self._extended[name]
        value = self._merged.get(name)
        if not isinstance(value, Mapping) or "extends" not in value or depth > _DEEPEST_EXTENDS:
            return value
        bases = value["extends"] if isinstance(value["extends"], list) else [value["extends"]]
        parts = [self._extend(str(base), depth + 1) for base in bases]
        known = [part for part in parts if isinstance(part, Mapping)]
        own = {key: item for key, item in value.items() if key != "extends"}
        missing = [
            str(base) for base, part in zip(bases, parts, strict=True) if not isinstance(part, Mapping)
        ]
        if missing:  # defined where it cannot be read: stays part of what the job is
            own["extends"] = missing
        self._extended[name] = _merged([*known, own])
        return self._extended[name]

    def _follow(self, value: Any, depth: int) -> Any:
        if isinstance(value, Reference):
            return self._look_up(value, depth)
        if isinstance(value, Mapping):
            return {key: self._follow(item, depth) for key, item in value.items()}
        if isinstance(value, list):
            return self._flatten(value, depth)
        return value

    def _flatten(self, items: list[Any], depth: int) -> list[Any]:
        result: list[Any] = []
        for item in items:
            found = self._follow(item, depth)
            if isinstance(item, Reference) and isinstance(found, list):
                result += found
            else:
                result.append(found)
        return result

    def _look_up(self, reference: Reference, depth: int) -> Any:
        if not reference.path or depth >= _DEEPEST_REFERENCE:
            return reference
        found = self._extend(reference.path[0], 0)
        for part in reference.path[1:]:
            if not isinstance(found, Mapping) or part not in found:
                return reference  # defined where it cannot be read
            found = found[part]
        return self._follow(found, depth + 1)


def _in_force(job: dict[str, Any], merged: Mapping[str, Any]) -> dict[str, Any]:
    """A job with what it inherits. Source: https://docs.gitlab.com/ci/yaml/#inherit"""
    inherit = job.get("inherit")
    inherit = inherit if isinstance(inherit, Mapping) else {}
    defaults = {name: merged[name] for name in _GLOBAL_DEFAULTS if name in merged}
    if isinstance(merged.get("default"), Mapping):
        defaults |= {name: merged["default"][name] for name in _INHERITABLE if name in merged["default"]}
    stage = {} if "extends" in job else {"stage": "test"}  # what it extends may name one
    result = {**stage, **_inherited(defaults, inherit.get("default", True)), **job}
    global_variables = merged.get("variables")
    if isinstance(global_variables, Mapping):
        variables = _inherited(global_variables, inherit.get("variables", True))
        own = job.get("variables")
        result["variables"] = {**variables, **own} if isinstance(own, Mapping) else own or variables
    return result


def _inherited(values: Mapping[str, Any], wanted: Any) -> dict[str, Any]:
    if isinstance(wanted, list):
        return {name: value for name, value in values.items() if name in wanted}
    return dict(values) if wanted is not False else {}


_SPAN = re.compile(r"(\d+(?:\.\d+)?) *(s|m(?!o)|h|d|w|$)[a-z]*[ ,]*", re.IGNORECASE)
_UNITS = {"s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def seconds_of(timeout: object) -> float | None:
    """The length of a job's `timeout`, in any form that GitLab reads; None for what cannot be told."""
    text = str(timeout).strip()
    if not text or _SPAN.sub("", text):
        return None
    return sum(float(number) * _UNITS[unit.lower()] for number, unit in _SPAN.findall(text))


def prove_unchanged(file: str, before: Sequence[Layer], after: Sequence[Layer]) -> tuple[str, ...]:
    """Names of the team's jobs, each proven to be the same before and after.

    Arguments:
        file: the root configuration, for messages.
        before: the team's layers.
        after: all layers, delivery's among them.

    Raises:
        EditRefused: something of the team's would change.
    """
    was, becomes = resolve(before), resolve(after)
    found = differences(was, becomes)
    if found:
        raise EditRefused(
            f"the graft would change what the team wrote: {'; '.join(found[:3])}",
            place=Place(file),
            fix="use --mode child, or report this file",
        )
    return tuple(name for name in was.jobs if not name.startswith("."))


def differences(before: Pipeline, after: Pipeline) -> list[str]:
    """What differs in the jobs, global keywords and order of stages that `before` has; one clause each."""
    found = _changed("job", before.jobs, after.jobs) + _changed("keyword", before.settings, after.settings)
    team = [stage for stage in before.stages.stages if not is_ours(stage)]
    order = [stage for stage in after.stages.stages if stage in team]
    if before.stages.uncertain == "" and order != team:
        found.append(f"the order of stages, from {', '.join(team)} to {', '.join(order)}")
    return found


def _changed(word: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [f"{word} '{name}'" for name, value in before.items() if name not in after or after[name] != value]


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
    stage = _stage_of(job)
    known = (".pre", *pipeline.stages.stages, ".post")
    if not pipeline.stages.uncertain and stage not in known:
        yield f"its stage '{stage}' is not among {', '.join(known)}"
    for other in _required(job.get("needs")):
        if other not in pipeline.jobs:
            yield f"it needs '{other}', which nothing defines"
        elif stage in known and _stage_of(pipeline.jobs[other]) in known[known.index(stage) + 1 :]:
            yield f"it needs '{other}', which is in a later stage"


def _stage_of(job: Mapping[str, Any]) -> str:
    return str(job.get("stage", "test"))


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
