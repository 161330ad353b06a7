"""Jobs of a GitLab pipeline or a Jenkinsfile in the same words: a signal need not know which it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pipegraft.ci.gitlab.configuration import Files, Layer, layers_of
from pipegraft.ci.gitlab.pipeline import resolve
from pipegraft.ci.jenkins.outline import outline
from pipegraft.core.errors import PipegraftError, Place
from pipegraft.maturity.model import Job
from pipegraft.maturity.ports import Ci
from pipegraft.maturity.rules import MERGE_REQUEST, PUSHES, is_let_in, runs_by_only
from pipegraft.text.groovy import Script, parse

__all__ = ["gitlab_ci", "jenkins_ci"]

_SHELLS = frozenset({"sh", "bat", "powershell", "pwsh"})


def gitlab_ci(
    file: str, text: str, read: Callable[[str], str | None], find: Callable[[str], Sequence[str]]
) -> Ci:
    """A GitLab pipeline with what it includes from the same repository."""
    try:
        layers = layers_of(file, text, Files(read, find))
        pipeline = resolve(layers)
    except PipegraftError as error:
        return Ci("gitlab", file, problem=str(error.problems[0]))
    workflow = pipeline.settings.get("workflow")
    jobs = tuple(
        _gitlab_job(name, value, workflow, _place(name, layers, read))
        for name, value in pipeline.jobs.items()
        if not name.startswith(".") and isinstance(value, Mapping)
    )
    return Ci("gitlab", file, jobs, pipeline.settings, opaque=pipeline.opaque)


def _gitlab_job(name: str, value: Mapping[str, Any], workflow: Any, place: Place) -> Job:
    rules = value.get("rules")
    flow = workflow.get("rules") if isinstance(workflow, Mapping) else None
    environment = value.get("environment")
    image = value.get("image")
    return Job(
        name,
        place,
        tuple(_lines(value.get("before_script"), value.get("script"), value.get("after_script"))),
        str((image.get("name") if isinstance(image, Mapping) else image) or ""),
        str((environment.get("name") if isinstance(environment, Mapping) else environment) or ""),
        _is_manual(value, rules),
        "timeout" in value,
        any(_runs(value, flow, variables) for variables in PUSHES),
        _runs(value, flow, MERGE_REQUEST),
        value.get("allow_failure") not in (None, False),
        dict(value),
    )


def _lines(*parts: Any) -> Iterable[str]:
    for part in parts:
        if isinstance(part, str):
            yield from part.splitlines()
        elif isinstance(part, list):
            yield from _lines(*part)


def _is_manual(value: Mapping[str, Any], rules: Any) -> bool:
    if value.get("when") == "manual":
        return True
    return isinstance(rules, list) and any(
        isinstance(rule, Mapping) and rule.get("when") == "manual" for rule in rules
    )


def _runs(value: Mapping[str, Any], flow: Any, variables: Mapping[str, str]) -> bool:
    """Whether a job gets into a pipeline with these variables."""
    if flow is not None and not is_let_in(flow, variables):
        return False
    if "rules" in value:
        return is_let_in(value["rules"], variables)
    if "only" in value:
        return runs_by_only(value["only"], variables)
    return flow is not None or "CI_COMMIT_BRANCH" in variables  # without rules: no merge request pipelines


def _place(name: str, layers: Sequence[Layer], read: Callable[[str], str | None]) -> Place:
    """Where a job is written: the strongest layer that has its key."""
    for layer in reversed(layers):
        if layer.file and name in layer.values:
            found = re.search(rf"^[\"']?{re.escape(name)}[\"']?\s*:", read(layer.file) or "", re.MULTILINE)
            line = (read(layer.file) or "").count("\n", 0, found.start()) + 1 if found else 0
            return Place(layer.file, line)
    return Place(layers[-1].file)


def jenkins_ci(file: str, text: str) -> Ci:
    """The stages of a Jenkinsfile; which branches and merge requests it runs for is not in the file."""
    try:
        script = parse(text, file)
        stages = outline(script).stages
    except PipegraftError as error:
        return Ci("jenkins", file, problem=str(error.problems[0]))
    words = {script.word(index) for index in range(len(script.code))}
    settings: dict[str, Any] = dict.fromkeys(words & {"timeout", "disableConcurrentBuilds", "junit"}, True)
    whole = _limited_as_a_whole(script)
    jobs: list[Job] = []
    for number, stage in enumerate(stages):
        end = stages[number + 1].at if number + 1 < len(stages) else len(script.code)
        span = range(stage.at, end)
        inside = [script.word(index) for index in span]
        jobs.append(
            Job(
                stage.name,
                Place(file, script.place(stage.at).line),
                tuple(_commands(script, span)),
                _agent_image(script, span),
                manual="input" in inside,
                limited=whole or "timeout" in inside,
                may_fail="catchError" in inside,
            )
        )
    return Ci("jenkins", file, tuple(jobs), settings)


def _commands(script: Script, span: range) -> Iterable[str]:
    """What shell steps run, as far as it is written out."""
    for index in span:
        if script.word(index) not in _SHELLS:
            continue
        at = index + 1
        while script.word(at) in ("(", "script", ":", "label"):
            at += 1
        line = script.string(at)
        if line is None and at < len(script.code):
            word = script.word(at)
            line = word.strip("\"'") if word[:1] in ("'", '"') else None
        if line:
            yield from (part.strip() for part in line.splitlines() if part.strip())


def _agent_image(script: Script, span: range) -> str:
    for index in span:
        if script.word(index) == "image" and (found := script.string(index + 1)):
            return found
    return ""


def _limited_as_a_whole(script: Script) -> bool:
    """Whether ``timeout`` stands in the options of the pipeline, ahead of its stages."""
    words = [script.word(index) for index in range(len(script.code))]
    if "options" not in words or "stages" not in words:
        return "timeout" in words[: words.index("stage")] if "stage" in words else False
    start = words.index("options")
    return "timeout" in words[start : words.index("stages", start)] if "stages" in words[start:] else False
