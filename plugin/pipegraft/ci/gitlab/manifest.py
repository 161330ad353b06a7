"""The generated files under ``.pipegraft/``: which stages, taken from where, wired how.

Its second line holds the settings of the injection as JSON in a comment, so that the next one keeps them.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipegraft.ci.gitlab.configuration import dump_yaml, include_entries, load
from pipegraft.ci.gitlab.include_graft import MANIFEST
from pipegraft.ci.gitlab.pipeline import is_job
from pipegraft.ci.model import InjectionRequest, Mode, TemplateSource
from pipegraft.core.errors import EditRefused, UsageError
from pipegraft.core.plan import Plan, PlannedStage

__all__ = [
    "CHILD",
    "FOLDER",
    "Settings",
    "generated_files",
    "generated_jobs",
    "job_name",
    "manifest_files",
    "read_settings",
    "settings_for",
]

FOLDER = ".pipegraft/gitlab"
"""Copies of the templates, and the child pipeline."""
CHILD = f"{FOLDER}/child.yml"
_TEMPLATES = "ci_templates/gitlab"
_PREFIX = "pipegraft"
_HEADER = "# Written by `pipegraft inject` from delivery.yaml: run that instead of editing this.\n"
_SETTINGS = "# settings: "
_COPY = re.compile(rf"{re.escape(FOLDER)}/[\w.-]+\.yml")
_LEAVES_QUOTES = re.compile(r'["\\\x00-\x1f]')
_VERSION = re.compile(r"v\d+\.\d+\.\d+\S*")


@dataclass(frozen=True, slots=True)
class Settings:
    """What an injection was asked for and the next one keeps.

    Arguments:
        stages: the file whose list of stages was edited, if it is not the root configuration.
    """

    source: TemplateSource
    mode: Mode = "include"
    image: str | None = None
    tags: tuple[str, ...] = ()
    stages: str = ""

    def line(self) -> str:
        """The comment that holds them."""
        source = {key: value for key, value in asdict(self.source).items() if value}
        chosen = {**asdict(self), "source": source}
        return _SETTINGS + json.dumps({key: value for key, value in chosen.items() if value}) + "\n"


def read_settings(manifest: str | None) -> Settings | None:
    """The settings a manifest holds, None if it holds none."""
    for line in (manifest or "").splitlines():
        if not line.startswith(_SETTINGS):
            continue
        try:
            found = json.loads(line.removeprefix(_SETTINGS))
            source = TemplateSource(**found.pop("source"))
            return Settings(source, **{**found, "tags": tuple(found.get("tags", ()))})
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
    return None


def settings_for(request: InjectionRequest) -> Settings:
    """What is asked for, completed by what the injection before was asked for.

    Raises:
        UsageError: a version is named for copies, which have this program's.
    """
    known = read_settings(request.read(MANIFEST)) or Settings(TemplateSource("local"))
    source = request.source or _pinned(known.source, request)
    if source.kind == "local" and request.ref is not None:
        raise UsageError(
            "copies of the templates are of this program's version, and --ref names one",
            fix="leave out --ref, or take the templates --from-project or --from-url",
        )
    return Settings(
        source=source,
        mode=request.mode or known.mode,
        image=known.image if request.image is None else request.image or None,
        tags=known.tags if request.tags is None else request.tags,
    )


def _pinned(source: TemplateSource, request: InjectionRequest) -> TemplateSource:
    """The source of before; its pin follows the templates' version unless somebody pinned something else."""
    if source.kind == "local":
        return source
    follows = request.version if _VERSION.fullmatch(source.ref) else ""
    return replace(source, ref=request.ref or follows or source.ref)


def job_name(planned: PlannedStage) -> str:
    """The name of a planned stage's job."""
    return f"{_PREFIX}:{planned.id}"


def manifest_files(
    plan: Plan,
    settings: Settings,
    templates: Mapping[str, str],
    stage_of: Callable[[PlannedStage], str],
    extra: Mapping[str, Any],
) -> dict[str, str]:
    """The jobs of a plan as files, each after those it includes: path → text.

    Arguments:
        plan: the stages.
        settings: where the templates come from, what runs the jobs.
        templates: template file name → text.
        stage_of: the pipeline stage of a planned stage.
        extra: keywords to write beside the includes: `stages`, for a configuration that has none.

    Raises:
        UsageError: a planned stage has no template.
    """
    jobs = _include(plan, settings, templates, stage_of)
    files = {}
    if settings.source.kind == "local":
        used = {f"{planned.stage}.yml" for planned in plan.stages}
        files = {f"{FOLDER}/{name}": text for name, text in templates.items() if name in used}
    if settings.mode == "child":
        files[CHILD] = _HEADER + dump_yaml({"stages": _stages(plan, stage_of), **jobs})
        files[MANIFEST] = _HEADER + settings.line() + dump_yaml(_trigger(str(extra.get("stage", ".post"))))
    else:
        files[MANIFEST] = _HEADER + settings.line() + dump_yaml({**extra, **jobs})
    return files


def _stages(plan: Plan, stage_of: Callable[[PlannedStage], str]) -> list[str]:
    return list(dict.fromkeys(stage_of(planned) for planned in plan.stages))


def _trigger(stage: str) -> dict[str, Any]:
    rules = [
        {"if": '$CI_PIPELINE_SOURCE == "schedule"', "when": "never"},
        {"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"},
    ]
    return {
        _PREFIX: {
            "stage": stage,
            "inherit": {"default": False, "variables": False},
            "trigger": {"include": [{"local": CHILD}], "strategy": "depend"},
            "rules": rules,
        }
    }


def _include(
    plan: Plan,
    settings: Settings,
    templates: Mapping[str, str],
    stage_of: Callable[[PlannedStage], str],
) -> dict[str, Any]:
    by_id = {planned.id: planned for planned in plan.stages}
    includes, overlays = [], {}
    for planned in plan.stages:
        name = f"{planned.stage}.yml"
        if name not in templates:
            raise UsageError(
                f"there is no template for the stage '{planned.stage}'",
                fix="install the plugin that brings it",
            )
        declared = load(templates[name], name).header["spec"]["inputs"]
        needs = [{"job": job_name(by_id[need]), "artifacts": True} for need in planned.needs]
        wanted = {
            "app": plan.app,
            "environment": planned.environment,
            "job-stage": stage_of(planned),
            "job-image": settings.image,
            "job-needs": needs or None,
            **planned.inputs,
        }
        inputs = {key: value for key, value in wanted.items() if key in declared and value is not None}
        _check_inputs(name, inputs)
        includes.append({**_location(settings.source, name), "inputs": inputs})
        if settings.tags:
            overlays[job_name(planned)] = {"tags": list(settings.tags)}
    return {"include": includes, **overlays}


def _check_inputs(template: str, inputs: Mapping[str, Any]) -> None:
    """GitLab fills inputs in as raw text: nothing may leave the quotes it stands in."""
    for key, value in inputs.items():
        if isinstance(value, str) and _LEAVES_QUOTES.search(value):
            raise EditRefused(
                f"input '{key}' of {template}: expected one line without double quotes and backslashes, "
                f"found {value!r}",
                fix="choose another value",
            )


def _location(source: TemplateSource, name: str) -> dict[str, Any]:
    if source.kind == "project":
        return {"project": source.location, "ref": source.ref, "file": f"/{_TEMPLATES}/{name}"}
    if source.kind == "remote":
        return {"remote": f"{source.location.rstrip('/')}/{name}".replace("{ref}", source.ref)}
    return {"local": f"{FOLDER}/{name}"}


def generated_files(read: Callable[[str], str | None]) -> tuple[str, ...]:
    """The generated files there are, the manifest first."""
    manifest = read(MANIFEST)
    if manifest is None:
        return ()
    found = [MANIFEST]
    for name in (MANIFEST, CHILD):
        text = read(name)
        if text is not None:
            found += [name, *_COPY.findall(text)]  # also in one that somebody broke
    return tuple(name for name in dict.fromkeys(found) if read(name) is not None)


def generated_jobs(read: Callable[[str], str | None]) -> tuple[str, ...]:
    """Names of the jobs that the generated files bring to the pipeline, by what their includes pass."""
    try:
        values = load(read(MANIFEST) or "", MANIFEST).values
    except EditRefused:
        return ()  # somebody broke it
    includes = [entry for entry in include_entries(values) if isinstance(entry, Mapping)]
    named = [_job_of(entry) for entry in includes]
    own = [name for name, value in values.items() if is_job(name, value) and "trigger" in value]
    return tuple(name for name in [*own, *named] if name)


def _job_of(entry: Mapping[str, Any]) -> str:
    """The name of the job that an include of a template makes."""
    template = next((str(entry[kind]) for kind in ("local", "file", "remote") if kind in entry), "")
    environment = (entry.get("inputs") or {}).get("environment")
    stage = posixpath.basename(template).removesuffix(".yml")
    return job_name(PlannedStage(stage, environment)) if stage else ""
