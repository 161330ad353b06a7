"""GitHub Actions as a CI system: jobs that call a reusable workflow for each stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import jinja2

from pipegraft import __version__
from pipegraft.ci.hooks import CiSystem, provision
from pipegraft.core.model import keys_of
from pipegraft.core.plugins import hookimpl
from pipegraft.core.release import Source
from pipegraft.core.stage import Stage
from pipegraft_github_actions.graft import eject, inject, pinned, workflow_of

__all__ = ["PIPEGRAFT_HOOKS", "make_workflows", "pipegraft_ci_systems", "read_source"]

PIPEGRAFT_HOOKS = "2"


@hookimpl
def pipegraft_ci_systems() -> Iterator[CiSystem]:
    """GitHub Actions."""
    names = ("ci", "main", "build", "test")
    yield CiSystem(
        name="github-actions",
        files=tuple(f".github/workflows/{name}.{ending}" for name in names for ending in ("yml", "yaml")),
        inject=inject,
        eject=eject,
        templates=make_workflows,
        source=read_source,
        pinned=pinned,
    )


def make_workflows(stages: Sequence[Stage]) -> Mapping[str, str]:
    """A reusable workflow for each stage: file name → text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipegraft_github_actions", "."),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - this is YAML, made from a stage's definition alone
        variable_start_string="[[",  # two braces are GitHub's own
        variable_end_string="]]",
    )
    template = environment.get_template("stage.yml.j2")
    install = provision(__version__, "the options --image and --packages of pipegraft inject")
    return {
        workflow_of(stage.name): template.render(
            stage=stage,
            version=__version__,
            install=install,
            inputs=[keys_of(stage.inputs)[name] for name in stage.inputs.model_fields],
            secrets=[need.name for need in stage.requires if need.name.isupper()],
        )
        for stage in stages
    }


def read_source(variables: Mapping[str, str]) -> Source | None:
    """What the variables say of the running workflow; None outside of GitHub Actions.

    Source: https://docs.github.com/en/actions/reference/workflows-and-actions/variables .
    ``GITHUB_RUN_NUMBER`` rises with every run of a workflow.
    """
    if variables.get("GITHUB_ACTIONS") != "true" or "GITHUB_SHA" not in variables:
        return None
    project = f"{variables.get('GITHUB_SERVER_URL', '')}/{variables.get('GITHUB_REPOSITORY', '')}"
    return Source(
        commit=variables["GITHUB_SHA"],
        number=int(variables.get("GITHUB_RUN_NUMBER", "0")),
        pipeline=f"{project}/actions/runs/{variables.get('GITHUB_RUN_ID', '')}",
        repository=project,
    )
