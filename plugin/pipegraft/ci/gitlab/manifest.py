"""The generated files under ``.pipegraft/``: which stages, taken from where, wired how.

Its second line holds the settings of the injection as JSON in a comment, so that the next one keeps them.
"""

from __future__ import annotations

import json
import math
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipegraft.ci.gitlab.configuration import deep_merge, dump_yaml, include_entries, load
from pipegraft.ci.gitlab.grafts import MANIFEST
from pipegraft.ci.gitlab.pipeline import is_job, seconds_of
from pipegraft.ci.hooks import InjectionRequest, Mode, TemplateSource
from pipegraft.core.errors import EditRefused, UsageError
from pipegraft.core.planning import Plan, PlannedStage

__all__ = [
    "CHILD",
    "CHILD_TRIGGER",
    "FOLDER",
    "PARENT_SOURCE",
    "RUNNER_VARIABLES",
    "Settings",
    "Wiring",
    "branch_condition",
    "generated_files",
    "generated_jobs",
    "job_name",
    "manifest_files",
    "read_settings",
    "rules",
    "settings_for",
]

FOLDER = ".pipegraft/gitlab"
"""Copies of the templates, and the child pipeline."""
CHILD = f"{FOLDER}/child.yml"
_TEMPLATES = "ci_templates/gitlab"
_PREFIX = "pipegraft"
CHILD_TRIGGER = _PREFIX
"""The job that starts the child pipeline."""
_HEADER = "# Written by `pipegraft inject` from delivery.yaml: run that instead of editing this.\n"
_SETTINGS = "# settings: "
_COPY = re.compile(rf"{re.escape(FOLDER)}/[\w.-]+\.yml")
PARENT_SOURCE = "PIPEGRAFT_PARENT_SOURCE"
"""The variable that tells a child pipeline which event started its parent."""
PARENT = "PIPEGRAFT_PARENT"
"""The variable that tells a child pipeline the number of its parent."""


def branch_condition(branch: str) -> str:
    """The condition of `rules:if` that holds on the delivered branch; empty for the default one."""
    return f'$CI_COMMIT_BRANCH == "{branch}"' if branch else "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"


def rules(branch: str = "") -> list[dict[str, str]]:
    """When delivery runs: on its branch, but not on a schedule, also not on that of a parent pipeline."""
    return [
        {"if": '$CI_PIPELINE_SOURCE == "schedule"', "when": "never"},
        {
            "if": f'$CI_PIPELINE_SOURCE == "parent_pipeline" && '
            f'(${PARENT_SOURCE} == null || ${PARENT_SOURCE} == "schedule")',
            "when": "never",
        },
        {"if": branch_condition(branch)},
    ]


RUNNER_VARIABLES = (
    *("GIT_CLEAN_FLAGS", "GIT_CLONE_EXTRA_FLAGS", "GIT_CLONE_PATH", "GIT_DEPTH", "GIT_FETCH_EXTRA_FLAGS"),
    *("GIT_LFS_SKIP_SMUDGE", "GIT_STRATEGY", "GIT_SSL_CAINFO", "GIT_SSL_NO_VERIFY", "GIT_CHECKOUT"),
    *("GIT_SUBMODULE_DEPTH", "GIT_SUBMODULE_FORCE_HTTPS", "GIT_SUBMODULE_PATHS", "GIT_SUBMODULE_STRATEGY"),
    *("GIT_SUBMODULE_UPDATE_FLAGS", "GET_SOURCES_ATTEMPTS", "ARTIFACT_DOWNLOAD_ATTEMPTS"),
    *("RESTORE_CACHE_ATTEMPTS", "EXECUTOR_JOB_SECTION_ATTEMPTS", "TRANSFER_METER_FREQUENCY"),
    *("FF_ENABLE_JOB_CLEANUP", "FF_NETWORK_PER_BUILD", "FF_SCRIPT_SECTIONS", "FF_TIMESTAMPS"),
    *("FF_USE_FASTZIP", "FF_USE_GIT_BUNDLE_URIS", "FF_USE_GIT_NATIVE_CLONE", "FF_USE_NEW_BASH_EVAL_STRATEGY"),
    "FF_DISABLE_UMASK_FOR_DOCKER_EXECUTOR",
)
"""Global variables of the team that reach delivery's jobs: they say how a runner fetches the sources.

Source: https://docs.gitlab.com/ci/runners/configure_runners/ and
https://docs.gitlab.com/runner/configuration/feature-flags/ .
"""
_LEAVES_QUOTES = re.compile(r'["\\\x00-\x1f]')
_VERSION = re.compile(r"v\d+\.\d+\.\d+\S*")
_BRANCH = re.compile(r"""[^\s"'\\$~^:?*\[\x00-\x1f]+""")
"""Names that git takes, and that end no text of a condition."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What an injection was asked for and the next one keeps.

    Arguments:
        source: where the templates come from.
        mode: how the jobs come in.
        image: the container image of delivery's jobs, None for the templates' own.
        tags: runner tags that were asked for; None where they are taken over from the team's jobs.
        after: the team's stage that delivery follows, None where nobody named one.
        packages: what pip installs where the image has no pipegraft.
        stages: the file whose list of stages was edited, if it is not the root configuration.
        branch: the branch that is delivered, empty for the default one.
    """

    source: TemplateSource
    mode: Mode = "include"
    image: str | None = None
    tags: tuple[str, ...] | None = None
    after: str | None = None
    packages: str = ""
    stages: str = ""
    branch: str = ""

    def line(self) -> str:
        """The comment that holds them."""
        hidden = () if self.source.kind == "remote" else ("ref",)  # the includes name it
        source = {key: value for key, value in asdict(self.source).items() if value and key not in hidden}
        chosen = {**asdict(self), "source": source}
        kept = {key: value for key, value in chosen.items() if value or (key == "tags" and value is not None)}
        return _SETTINGS + json.dumps(kept) + "\n"


def read_settings(read: Callable[[str], str | None]) -> Settings | None:
    """The settings that the generated files hold, None if they hold none.

    The version is the one that the includes name: people and programs may have raised it there.
    """
    for line in (read(MANIFEST) or "").splitlines():
        if not line.startswith(_SETTINGS):
            continue
        try:
            found = json.loads(line.removeprefix(_SETTINGS))
            source = TemplateSource(**found.pop("source"))
            tags = found.pop("tags", None)
            named = replace(source, ref=_included_version(source, read) or source.ref)
            return Settings(named, tags=None if tags is None else tuple(tags), **found)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
    return None


def _included_version(source: TemplateSource, read: Callable[[str], str | None]) -> str:
    """The version that the first include of the templates names; empty where none does."""
    try:
        files = [load(read(name) or "", name).values for name in (MANIFEST, CHILD)]
    except EditRefused:
        return ""  # somebody broke it
    for entry in (entry for values in files for entry in include_entries(values)):
        if isinstance(entry, Mapping) and source.kind == "project" and "project" in entry:
            return str(entry.get("ref") or "")
        if isinstance(entry, Mapping) and "component" in entry:
            return str(entry["component"]).rpartition("@")[2]
    return ""


def settings_for(request: InjectionRequest) -> Settings:
    """What is asked for, completed by what the injection before was asked for.

    Raises:
        UsageError: a version is named for copies, which have this program's.
    """
    known = read_settings(request.read) or Settings(TemplateSource("local"))
    source = request.options.source or _pinned(known.source, request)
    if source.kind == "local" and request.options.ref is not None:
        raise UsageError(
            "copies of the templates are of this program's version, and --ref names one",
            fix="leave out --ref, or take the templates --from-project or --from-url",
        )
    branch = known.branch if request.options.branch is None else request.options.branch
    if branch and not _BRANCH.fullmatch(branch):
        raise UsageError(
            f"expected the name of a branch, found {branch!r}",
            fix="write --branch NAME, or '' for the default one",
        )
    return Settings(
        source=source,
        mode=request.options.mode or known.mode,
        image=known.image if request.options.image is None else request.options.image or None,
        tags=known.tags if request.options.tags is None else request.options.tags,
        after=request.options.after or known.after,
        packages=known.packages if request.options.packages is None else request.options.packages,
        branch=branch,
    )


def _pinned(source: TemplateSource, request: InjectionRequest) -> TemplateSource:
    """The source of before; its pin follows the templates' version unless somebody pinned something else."""
    if source.kind == "local":
        return source
    catalogued = source.kind == "component" and not source.ref.startswith("v")
    lead = "v" if catalogued else ""  # the catalog's versions have none
    follows = request.version if _VERSION.fullmatch(lead + source.ref) else ""
    wanted = request.options.ref or follows or source.ref
    return replace(source, ref=wanted.removeprefix(lead) if _VERSION.fullmatch(wanted) else wanted)


def job_name(planned: PlannedStage) -> str:
    """The name of a planned stage's job."""
    return f"{_PREFIX}:{planned.id}"


@dataclass(frozen=True, slots=True)
class Wiring:
    """How delivery's jobs are joined to a pipeline.

    Arguments:
        stage_of: the pipeline stage of a planned stage.
        extra: keywords to write beside the includes: `stages`, for a configuration that has none.
        trigger: the stage of the job that starts the child pipeline.
        tags: of the runners that take the jobs.
        variables: the team's global variables that reach the jobs: they steer the runner.
        forced: variables of the runner that the jobs must not take from the team.
        artifacts: the team's jobs whose artifacts a child pipeline takes.
        laid: job → what the team's hidden job of its name lays on it.
    """

    stage_of: Callable[[PlannedStage], str]
    extra: Mapping[str, Any] = field(default_factory=dict)
    trigger: str = ".post"
    tags: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    forced: Mapping[str, str] = field(default_factory=dict)
    artifacts: tuple[str, ...] = ()
    laid: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def manifest_files(
    plan: Plan, settings: Settings, templates: Mapping[str, str], wiring: Wiring
) -> dict[str, str]:
    """The jobs of a plan as files, each after those it includes: path → text.

    Arguments:
        plan: the stages.
        settings: where the templates come from, what runs the jobs.
        templates: template file name → text.
        wiring: how they are joined to the pipeline.

    Raises:
        UsageError: a planned stage has no template.
    """
    jobs = _jobs(plan, settings, templates, wiring)
    files = {}
    if settings.source.kind == "local":
        used = {f"{planned.stage}.yml" for planned in plan.stages}
        files = {f"{FOLDER}/{name}": text for name, text in templates.items() if name in used}
    head = _HEADER + settings.line()
    if settings.mode == "child":
        stages = list(dict.fromkeys(map(wiring.stage_of, plan.stages)))
        files[CHILD] = _HEADER + dump_yaml({"stages": stages, **jobs})
        files[MANIFEST] = head + dump_yaml({**wiring.extra, **_trigger(wiring, settings.branch)})
    else:
        files[MANIFEST] = head + dump_yaml({**wiring.extra, **jobs})
    return files


def _trigger(wiring: Wiring, branch: str) -> dict[str, Any]:
    job: dict[str, Any] = {
        "stage": wiring.trigger,
        "inherit": {"default": False, "variables": list(wiring.variables) or False},
        "variables": {PARENT_SOURCE: "$CI_PIPELINE_SOURCE", PARENT: "$CI_PIPELINE_ID", **wiring.forced},
        "trigger": {"include": [{"local": CHILD}], "strategy": "depend"},
        "rules": rules(branch),
    }
    return {CHILD_TRIGGER: job}


def _jobs(plan: Plan, settings: Settings, templates: Mapping[str, str], wiring: Wiring) -> dict[str, Any]:
    """The includes of the templates, and what is laid on the jobs that they make."""
    includes, overlays = [], {}
    for planned in plan.stages:
        name = f"{planned.stage}.yml"
        if name not in templates:
            raise UsageError(
                f"there is no template for the stage '{planned.stage}'",
                fix="install the plugin that brings it",
            )
        inputs = _inputs(
            plan, planned, settings, wiring, load(templates[name], name).header["spec"]["inputs"]
        )
        _check_inputs(name, inputs)
        includes.append({**_location(settings.source, name), "inputs": inputs})
        overlay = _overlay(planned, settings, wiring)
        if overlay:
            overlays[job_name(planned)] = overlay
    return {"include": includes, **overlays}


def _inputs(
    plan: Plan, planned: PlannedStage, settings: Settings, wiring: Wiring, declared: Mapping[str, Any]
) -> dict[str, Any]:
    by_id = {one.id: one for one in plan.stages}
    needs = [{"job": job_name(by_id[need]), "artifacts": True} for need in planned.needs]
    wanted = {
        "app": plan.app,
        "environment": planned.environment,
        "job-stage": wiring.stage_of(planned),
        "job-image": settings.image,
        "job-packages": settings.packages or None,
        "job-needs": needs or None,
        "job-rules": rules(settings.branch) if settings.branch else None,
        "job-timeout": _timeout(planned.longest, declared),
        **planned.inputs,
    }
    return {key: value for key, value in wanted.items() if key in declared and value is not None}


_BESIDES = 15
"""Minutes that a job takes beside its stage: for sources, an image, and waiting for its turn."""


def _timeout(longest: float, declared: Mapping[str, Any]) -> str | None:
    """A job's timeout where its stage may take longer, by its own limits, than the template lets it."""
    usual = seconds_of(declared.get("job-timeout", {}).get("default", "")) or float("inf")
    needed = math.ceil(longest / 60) + _BESIDES
    return f"{needed}m" if needed * 60 > usual else None


def _overlay(planned: PlannedStage, settings: Settings, wiring: Wiring) -> dict[str, Any]:
    overlay: dict[str, Any] = {"tags": list(wiring.tags)} if wiring.tags else {}
    further = [name for name in wiring.variables if name not in RUNNER_VARIABLES]
    if settings.mode == "child":  # what the trigger passes on arrives as the pipeline's variables
        overlay["inherit"] = {"variables": False}
    elif further:
        overlay["inherit"] = {"variables": [*RUNNER_VARIABLES, *further]}
    if wiring.forced:
        overlay["variables"] = dict(wiring.forced)
    if settings.mode == "child" and wiring.artifacts and not planned.needs:
        overlay["needs"] = [{"pipeline": f"${PARENT}", "job": name} for name in wiring.artifacts]
    return deep_merge(overlay, wiring.laid.get(job_name(planned), {}))


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
    if source.kind == "component":
        return {"component": f"{source.location}/{name.removesuffix('.yml')}@{source.ref}"}
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
    kinds = ("local", "file", "remote", "component")
    template = next((str(entry[kind]) for kind in kinds if kind in entry), "")
    environment = (entry.get("inputs") or {}).get("environment")
    stage = posixpath.basename(template).partition("@")[0].removesuffix(".yml")
    return job_name(PlannedStage(stage, environment)) if stage else ""
