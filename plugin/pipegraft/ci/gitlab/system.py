"""GitLab CI: the templates of its stages, a project of components, and what its variables say.

Source: https://docs.gitlab.com/ci/components/ : ``templates/NAME/template.yml``, a README, and a pipeline
that tries every component and releases a tag, which must be a semantic version.
"""

from __future__ import annotations

import functools
import json
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2

from pipegraft import __version__
from pipegraft.ci.gitlab.adapters import verify
from pipegraft.ci.gitlab.configuration import dump_yaml, load
from pipegraft.ci.gitlab.eject import eject
from pipegraft.ci.gitlab.inject import inject
from pipegraft.ci.gitlab.manifest import RUNNER_VARIABLES, read_settings, rules
from pipegraft.ci.hooks import CiSystem, UsageExample, provision
from pipegraft.core.errors import PluginError
from pipegraft.core.model import keys_of
from pipegraft.core.plugins import hookimpl
from pipegraft.core.release import Source
from pipegraft.core.stage import Stage

__all__ = ["component_project", "make_templates", "pipegraft_ci_systems", "read_source"]

_MOST_OPTIONS = 50  # GitLab's own limit


@dataclass(frozen=True, slots=True)
class _Input:
    """One input of a template."""

    name: str
    description: str
    default: Any = ""
    type: str = "string"
    options: tuple[str, ...] = ()
    regex: str = r'^[^"\\\x00-\x1f]*$'  # filled in as raw text: it must not leave its quotes
    variable: str = ""
    expanded: bool = False  # whether GitLab fills in its variables


@hookimpl
def pipegraft_ci_systems() -> Iterator[CiSystem]:
    """GitLab CI."""
    yield CiSystem(
        name="gitlab",
        files=(".gitlab-ci.yml",),
        inject=inject,
        eject=eject,
        templates=make_templates,
        source=read_source,
        pinned=_pinned,
        example=_example,
        components=_components,
        verify=verify,
    )


def read_source(variables: Mapping[str, str]) -> Source | None:
    """What GitLab's predefined variables say of the running pipeline; None outside of GitLab CI.

    Source: https://docs.gitlab.com/ci/variables/predefined_variables/ . ``CI_PIPELINE_IID`` rises with every
    pipeline of the project; a child pipeline has its own, which rises too.
    """
    if variables.get("GITLAB_CI") != "true" or "CI_COMMIT_SHA" not in variables:
        return None
    return Source(
        commit=variables["CI_COMMIT_SHA"],
        number=int(variables.get("CI_PIPELINE_IID", "0")),
        pipeline=variables.get("CI_PIPELINE_URL", ""),
        repository=variables.get("CI_PROJECT_URL", ""),
    )


def _pinned(_file: str, _text: str, read: Callable[[str], str | None]) -> str | None:
    settings = read_settings(read)
    return None if settings is None else settings.source.ref or "copies"


def _components(stages: Sequence[Stage]) -> Mapping[str, str]:
    return component_project(stages, make_templates(stages), __version__)


def _example(stage: Stage) -> UsageExample:
    environment = "\n      environment: production" if stage.scope == "environment" else ""
    code = f"""
include:
  - project: platform/pipegraft
    ref: v{__version__}
    file: /ci_templates/gitlab/{stage.name}.yml
    inputs:
      app: shop{environment}
"""
    return UsageExample("GitLab", "yaml", code)


def make_templates(stages: Sequence[Stage]) -> dict[str, str]:
    """A template for each stage: file name → text.

    Raises:
        PluginError: a stage has an input that every template has already.
    """
    return {f"{stage.name}.yml": _render(stage, stages) for stage in stages}


def _render(stage: Stage, stages: Sequence[Stage]) -> str:
    common, settings = (
        list(_common_inputs(stage, stages)),
        [_setting(stage, name) for name in stage.inputs.model_fields],
    )
    names = [one.name for one in common]
    taken = next((one.name for one in settings if one.name in names), None)
    if taken:
        raise PluginError(
            f"stage '{stage.name}': every template has an input '{taken}'", fix="rename the stage's input"
        )
    job = f"$[[ inputs.job-prefix ]]:{stage.name}" + (
        ":$[[ inputs.environment ]]" if stage.scope == "environment" else ""
    )
    rendered: str = _template().render(
        stage=stage,
        inputs=[*common, *settings],
        names=names,
        settings=settings,
        job=job,
        runner_variables=RUNNER_VARIABLES,
        provision=provision(__version__, "the inputs job-image and job-packages"),
    )
    return rendered


def _common_inputs(stage: Stage, stages: Sequence[Stage]) -> Iterator[_Input]:
    label = "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"
    yield _Input("app", "Name of the application, as in delivery.yaml.", "app", regex=label)
    if stage.scope == "environment":
        yield _Input("environment", "Environment of delivery.yaml to deliver to.", "production", regex=label)
    yield _Input("directory", "Folder that holds delivery.yaml.", ".")
    yield _Input("job-prefix", "First part of the job's name.", "pipegraft")
    yield _Input("job-stage", "Stage of the pipeline: one behind those of the tests.", "deploy")
    yield _Input("job-image", "Container image with Python 3.11 or later and git.", "python:3.13")
    yield _Input(
        "job-packages",
        "What pip installs where the image has no pipegraft, and from where.",
    )
    needs = _default_needs(stage, stages)
    if needs:
        yield _Input("job-needs", "Jobs that must have succeeded before.", needs, "array")
    yield _Input(
        "job-rules", "When the job runs: on the default branch, except on a schedule.", rules(), "array"
    )
    if stage.uses_engine:
        yield _Input("job-services", "Services beside the job, such as a Docker Engine.", [], "array")
        yield _Input("job-docker-host", "DOCKER_HOST of the job; as the runner has it if empty.")
        yield _Input("job-cache", "What the runner keeps between jobs, as GitLab's `cache`.", [], "array")
    yield _Input("job-timeout", "How long the job may take.", "3h" if stage.deploys else "1h")


def _default_needs(stage: Stage, stages: Sequence[Stage]) -> list[dict[str, Any]]:
    """The jobs a stage follows when a template is included by hand; `inject` writes them out."""
    before = {other.name: other for other in stages if other.scope == stage.scope}
    names = [name for name in before if name in stage.after or stage.name in before[name].before]
    suffix = ":production" if stage.scope == "environment" else ""
    if not names and stage.scope == "environment":
        followed = {name for other in stages for name in other.after if other.scope == "app"}
        names, suffix = [o.name for o in stages if o.scope == "app" and o.name not in followed], ""
    return [{"job": f"pipegraft:{name}{suffix}", "artifacts": True} for name in names]


def _setting(stage: Stage, name: str) -> _Input:
    """A stage's own input; all are text, since a job's variables are."""
    info = stage.inputs.model_fields[name]
    key = keys_of(stage.inputs)[name]
    allowed = typing.get_args(info.annotation) if typing.get_origin(info.annotation) is typing.Literal else ()
    if info.annotation is bool:
        allowed = (True, False)
    return _Input(
        name=key,
        description=(info.description or "").strip(),
        default=_written(stage.inputs().model_dump(mode="json")[key]),
        options=tuple(map(_written, allowed)) if len(allowed) <= _MOST_OPTIONS else (),
        variable=f"PIPEGRAFT_INPUT_{stage.name}_{key}".replace("-", "_").upper(),
        expanded=name in stage.inputs.ci_variables,
    )


def _written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ",".join(map(_written, value))
    return str(value)


@functools.cache
def _template() -> Any:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipegraft.ci.gitlab"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - this is YAML; values pass through the filter below
    )
    environment.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.get_template("gitlab-stage.yml.j2")


_HEAD = "# Generated by `pipegraft templates --components`. "
_RELEASE_IMAGE = "registry.gitlab.com/gitlab-org/release-cli:v0.24.0"


def component_project(stages: Sequence[Stage], templates: Mapping[str, str], version: str) -> dict[str, str]:
    """Every file of the project: path → text.

    Arguments:
        stages: the definitions.
        templates: what `make_templates` made of them.
        version: of this program, for the examples.
    """
    files = {f"templates/{stage.name}/template.yml": templates[f"{stage.name}.yml"] for stage in stages}
    files["README.md"] = "".join(_readme(stages, templates, version))
    files[".gitlab-ci.yml"] = _pipeline(stages)
    return files


def _pipeline(stages: Sequence[Stage]) -> str:
    never = [{"if": "$CI_COMMIT_TAG && $CI_COMMIT_BRANCH"}]  # no pipeline is of both
    includes = [
        {
            "component": f"$CI_SERVER_FQDN/$CI_PROJECT_PATH/{stage.name}@$CI_COMMIT_SHA",
            "inputs": {"job-stage": "test", "job-rules": never},
        }
        for stage in stages
    ]
    jobs = {
        "stages": ["test", "release"],
        "include": includes,
        "every component resolves": {
            "stage": "test",
            "image": "alpine:3.22",
            "script": ["echo GitLab has resolved every component at $CI_COMMIT_SHA"],
        },
        "release": {
            "stage": "release",
            "image": _RELEASE_IMAGE,
            "rules": [{"if": r"$CI_COMMIT_TAG =~ /^\d+\.\d+\.\d+$/"}],
            "script": ["echo releasing $CI_COMMIT_TAG"],
            "release": {
                "tag_name": "$CI_COMMIT_TAG",
                "description": "Version $CI_COMMIT_TAG of the components.",
            },
        },
    }
    note = "It tries every component at the commit under test, and releases tags such as 1.2.3.\n"
    return _HEAD + note + dump_yaml(jobs)


def _readme(stages: Sequence[Stage], templates: Mapping[str, str], version: str) -> Iterator[str]:
    yield "# Delivery as CI/CD components\n\n"
    yield "Generated by `pipegraft templates --components`. This puts each at its place in a pipeline:\n\n"
    yield f"```sh\npipegraft inject --from-component gitlab.example.com/GROUP/PROJECT@{version}\n```\n"
    for stage in stages:
        yield f"\n## {stage.name}\n\n{stage.summary}\n\n```yaml\ninclude:\n"
        yield f"  - component: gitlab.example.com/GROUP/PROJECT/{stage.name}@{version}\n"
        yield "    inputs:\n      app: shop\n"
        yield "```\n\n| input | meaning | default |\n|---|---|---|\n"
        declared = load(templates[f"{stage.name}.yml"], stage.name).header["spec"]["inputs"]
        for name, said in declared.items():
            default = said.get("default", "")
            shown = f"`{default}`" if isinstance(default, str) and default else ""
            yield f"| `{name}` | {said['description']} | {shown} |\n"
