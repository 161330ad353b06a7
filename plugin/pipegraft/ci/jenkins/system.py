"""Jenkins: grafting onto Jenkinsfiles, the shared library, and what the variables of a build say."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2

from pipegraft import __version__
from pipegraft.ci.hooks import CiSystem, Injection, provision
from pipegraft.ci.jenkins.grafts import literal, step_name
from pipegraft.ci.jenkins.injection import eject, inject, library_version
from pipegraft.ci.jenkins.when import CHANGES, TIMERS
from pipegraft.core.errors import PluginError
from pipegraft.core.model import keys_of
from pipegraft.core.plugins import hookimpl
from pipegraft.core.release import Source
from pipegraft.core.stage import Stage
from pipegraft.text.groovy import parse

__all__ = ["make_library", "pipegraft_ci_systems", "read_source"]

_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
_ARGUMENTS = {
    "environment": "environment of delivery.yaml to deliver to; every one in order if absent",
    "inputs": "inputs of the stage by name",
    "agent": "label of the agent to run on; the workspace the pipeline has if absent, else any agent",
    "image": "container image to run in, through the Docker Pipeline plugin",
    "options": "options of `docker run` for that container: '-v /var/run/docker.sock:/var/run/docker.sock'",
    "dockerHost": "DOCKER_HOST of the stage; as the agent has it if absent",
    "directory": "folder that holds delivery.yaml, relative to the workspace",
    "packages": "what pip installs where the agent has no pipegraft, and from where; nothing if absent",
    "credentials": "bindings of withCredentials, "
    "such as [string(credentialsId: 'iac', variable: 'PIPEGRAFT_IAC_TOKEN')]",
    "branch": "the branch that is delivered; if absent, the primary one of a multibranch job, or that which "
    "a plain job is configured to build",
    "timers": "true to deliver also where a timer alone started the build",
    "timeout": "minutes the stage may take, the wait for an agent included; 1440 if absent",
    "lock": "false to let builds deliver at the same time; git still lets the newest win",
}


@dataclass(frozen=True, slots=True)
class _Input:
    """An input of a stage, as the templates show it."""

    name: str
    description: str
    default: str
    variable: str


@hookimpl
def pipegraft_ci_systems() -> Iterator[CiSystem]:
    """Jenkins."""
    yield CiSystem(
        name="jenkins",
        files=("Jenkinsfile", "Jenkinsfile.groovy"),
        inject=inject,
        eject=_eject,
        templates=make_library,
        source=read_source,
        pinned=_pinned,
    )


def _pinned(file: str, text: str, _read: Callable[[str], str | None]) -> str | None:
    return library_version(parse(text, file))


def _eject(file: str, text: str, _read: Callable[[str], str | None]) -> Injection:
    return eject(file, text)


def read_source(variables: Mapping[str, str]) -> Source | None:
    """What Jenkins' variables say of the running build; None outside of Jenkins.

    Source: https://www.jenkins.io/doc/book/pipeline/jenkinsfile/#using-environment-variables .
    ``BUILD_NUMBER`` rises with every build of a job; ``GIT_COMMIT`` is set by the library's steps, since
    Scripted pipelines have none; ``JENKINS_URL`` is there once an administrator has set it.
    """
    number = variables.get("BUILD_NUMBER", "")
    commit = variables.get("GIT_COMMIT", "")
    inside = "JENKINS_URL" in variables or variables.get("BUILD_TAG", "").startswith("jenkins-")
    if not inside or not number.isdecimal() or not _COMMIT.fullmatch(commit):
        return None
    return Source(
        commit=commit,
        number=int(number),
        pipeline=variables.get("BUILD_URL", ""),
        repository=_USERINFO.sub("", variables.get("GIT_URL", "")),
    )


def make_library(stages: Sequence[Stage]) -> dict[str, str]:
    """The shared library: path below the library's folder → text.

    Arguments:
        stages: definitions, those of third parties included.

    Raises:
        PluginError: two stages would be called by the same step.
    """
    steps = {step_name(stage.name): stage for stage in stages}
    if len(steps) < len(stages):
        twice = next(stage for stage in stages if steps[step_name(stage.name)] is not stage)
        other = steps[step_name(twice.name)]
        raise PluginError(
            f"stages '{twice.name}' and '{other.name}' would both be called by {step_name(twice.name)}",
            fix="rename one of them",
        )
    inputs = {
        stage.name: [_read_input(stage, name) for name in stage.inputs.model_fields] for stage in stages
    }
    table = [
        {
            "name": stage.name,
            "deploys": stage.deploys,
            "tests": stage.reports_tests,
            "inputs": inputs[stage.name],
        }
        for stage in stages
    ]
    summaries = {step: stage.summary for step, stage in steps.items()}
    files = {
        "src/io/pipegraft/Stages.groovy": _render(
            "stages.groovy", stages=table, arguments=list(_ARGUMENTS), changes=CHANGES, timers=TIMERS
        ),
        "vars/pipegraft.groovy": _render(
            "pipegraft.groovy", provision=provision(__version__, "the arguments image and packages")
        ),
        "vars/pipegraft.txt": _render("pipegraft.txt", arguments=_ARGUMENTS, steps=summaries),
    }
    for step, stage in steps.items():
        files[f"vars/{step}.groovy"] = _render("step.groovy", step=step, stage=stage)
        files[f"vars/{step}.txt"] = _render(
            "step.txt", step=step, stage=stage, arguments=_ARGUMENTS, inputs=inputs[stage.name]
        )
    return files


def _read_input(stage: Stage, name: str) -> _Input:
    info = stage.inputs.model_fields[name]
    key = keys_of(stage.inputs)[name]
    return _Input(
        name=key,
        description=(info.description or "").strip(),
        default=_written(info.default),
        variable=f"PIPEGRAFT_INPUT_{stage.name}_{key}".replace("-", "_").upper(),
    )


def _written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return ",".join(map(_written, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _render(name: str, **values: Any) -> str:
    rendered: str = _environment().get_template(f"jenkins-{name}.j2").render(**values)
    return rendered


@functools.cache
def _environment() -> Any:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipegraft.ci.jenkins"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - this is Groovy; values pass through the filter below, help through `e`
    )
    environment.filters["groovy"] = literal
    return environment
