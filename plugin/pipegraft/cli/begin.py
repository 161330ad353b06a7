"""`pipegraft init` and `doctor`: a repository's first files, and what still keeps it from delivering."""

from __future__ import annotations

import itertools
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from pipegraft.app.doctor import CheckUp, doctor_view, examine, summary
from pipegraft.app.init import Asked, Initialised, Question, initialise
from pipegraft.appspec.pods import port_variable
from pipegraft.cli.common import directory_option, json_option, load_plugins, print_json, said_together
from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.console import open_console
from pipegraft.core.delivery_file import open_project
from pipegraft.core.doctor import Health
from pipegraft.core.errors import UsageError
from pipegraft.core.foreign_text import echo
from pipegraft.core.hooks import connected

__all__ = ["doctor_command", "init_command"]


@click.command("init")
@click.option("--app", help="Name of the application.")
@click.option("--registry", help="Registry for its images, or an OCI layout folder: oci:PATH.")
@click.option("--iac", metavar="FOLDER", help="Where the IaC repository is made; counts from the repository.")
@click.option("--iac-url", metavar="URL", help="Where the IaC repository will be; its folder if absent.")
@click.option("--env", "environments", multiple=True, help="Environment to deliver to; repeatable.")
@click.option("--engine", help="GitOps engine that applies the IaC repository.")
@click.option("--gate", multiple=True, metavar="KEY=VALUE", help="Key of `gate:` for the engine; repeatable.")
@click.option("--yes", is_flag=True, help="Take the defaults for what is not given.")
@directory_option
@json_option
def init_command(
    *,
    app: str | None,
    registry: str | None,
    iac: str | None,
    iac_url: str | None,
    environments: tuple[str, ...],
    engine: str | None,
    gate: tuple[str, ...],
    yes: bool,
    directory: Path,
    as_json: bool,
) -> None:
    """Look at a source repository and write its first delivery.yaml and IaC repository.

    Dockerfiles, a Compose file, sources and pipelines tell what the application consists of; what they do
    not tell is asked. Nothing is written over.
    """
    options = {"--app": app, "--registry": registry, "--iac": iac, "--iac-url": iac_url, "--engine": engine}
    given = {name: value for name, value in options.items() if value is not None}
    if environments:
        given["--env"] = ",".join(environments)
    done = initialise(directory, given, _pairs(gate), load_plugins(), _asking(yes=yes))
    if as_json:
        print_json(_data(done))
    else:
        _show(done, directory)


def _pairs(words: Sequence[str]) -> dict[str, str]:
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"expected KEY=VALUE, found '{word}'", param_hint="--gate")
        found[key] = value
    return found


def _asking(*, yes: bool) -> Asked:
    if yes:
        return lambda questions: {one.option: one.default for one in questions}
    return _prompt if sys.stdin.isatty() else _nobody_there


def _prompt(questions: Sequence[Question]) -> Mapping[str, str]:
    return {one.option: click.prompt(one.text, default=one.default, err=True) for one in questions}


def _nobody_there(questions: Sequence[Question]) -> Mapping[str, str]:
    if not questions:
        return {}
    answers = " ".join(f"{one.option} {shlex.quote(one.default)}" for one in questions)
    raise UsageError(
        f"there is no terminal to ask on for: {', '.join(one.option for one in questions)}",
        fix=f"pass --yes to take the defaults, or pass {answers}",
    )


def _data(done: Initialised) -> dict[str, object]:
    return {
        "app": done.answers.app,
        "components": {one.name: {"path": one.path, "why": one.why} for one in done.survey.components},
        "resources": {one.name: {"type": one.type, "why": one.why} for one in done.survey.resources},
        "pipelines": list(done.survey.pipelines),
        "files": [str(path) for path in done.files],
        "not-carried": list(done.left),
        "without-provider": list(done.unprovided),
    }


def _show(done: Initialised, directory: Path) -> None:
    for one in done.survey.components:
        ports = f", port {', '.join(map(str, one.ports.values()))}" if one.ports else ""
        echo(f"component {one.name}: {one.why}{ports}")
    for each in done.survey.resources:
        echo(f"resource {each.name} ({each.type}): {each.why}")
    for sentence in said_together(done.left):
        echo(f"not carried over: {sentence}", err=True)
    for sentence in done.unprovided:
        echo(f"still to do: {sentence}", err=True)
    for path in done.files:
        echo(f"wrote {os.path.relpath(path)}")
    if silent := [one.name for one in done.survey.components if not one.ports]:
        spec = os.path.relpath(done.iac / "app.yaml")
        echo(f"No file tells a port of {', '.join(silent)}: if requests come to it, write into {spec}")
        echo("  ports: {http: NUMBER}   # and `entrance: {}` for requests from outside")
    echo("Read both, then:")
    inside = "" if directory == Path() else f" -C {shlex.quote(str(directory))}"
    echo(f"  pipegraft plan{inside}")
    echo(f"  pipegraft render {shlex.quote(os.path.relpath(done.iac))}")
    for line in _on_this_machine(done, directory, inside):
        echo(f"  {line}")
    for name in done.survey.pipelines or ("PIPELINE",):
        plain = name.endswith((".yml", ".yaml", "Jenkinsfile")) or name == "PIPELINE"
        system = "" if plain else "--ci jenkins "
        echo(f"  pipegraft inject --dry-run {system}{shlex.quote(os.path.relpath(directory / name))}")
    if not done.survey.pipelines:
        echo("No pipeline of GitLab or Jenkins was found: PIPELINE is yours, or the one that you write.")


def _on_this_machine(done: Initialised, directory: Path, inside: str) -> Iterator[str]:
    """What delivers for the first time, where the engine is the one of this machine."""
    state = done.answers.gate.get("state")
    if done.answers.engine != "embedded" or not state:
        return
    first = done.answers.environments[0]
    state = state.replace("{app}", done.answers.app).replace("{env}", first)
    folder, kept = (shlex.quote(os.path.relpath(one)) for one in (done.iac, directory / state))
    docker = " --runtime docker" if any(one.dockerfile for one in done.survey.components) else ""
    told = [port_variable(one.name, "", several=False) for one in done.survey.components if one.ports]
    if told and not docker:
        yield f"# a process of this machine listens on the port that it is told: {', '.join(told)}"
    yield f"pipegraft engine --repository {folder} --env {first} --state {kept}{docker}   # leave it running"
    yield f"pipegraft run{inside} --env {first}   # in another terminal, once everything is committed"


@click.command("doctor")
@directory_option
@click.option("--only", multiple=True, metavar="NAME", help="One examination; may be given several times.")
@json_option
def doctor_command(directory: Path, only: tuple[str, ...], as_json: bool) -> int:
    """Check everything that a delivery needs, and say how to mend what is wrong. Nothing is written anywhere.

    Ends with 1 if something is wrong, with 3 if nothing is and a system did not answer.
    """
    project = open_project(directory, load_plugins())
    with connected(project) as connections:
        found = examine(project, connections, os.environ, SystemClock(), only)
    if as_json:
        print_json([one.to_json() for one in found])
    else:
        _show_examined(found)
    health = {one.health for check in found for one in check.diagnoses}
    return 1 if Health.WRONG in health else 3 if Health.UNREACHABLE in health else 0


def _show_examined(found: list[CheckUp]) -> None:
    console = open_console()
    blocks = {
        name: [one for check in checks for one in check.diagnoses]
        for name, checks in itertools.groupby(found, key=lambda check: check.examination.name)
    }
    for part in doctor_view(blocks):
        console.print(part)
    console.print()
    console.print(summary(one for diagnoses in blocks.values() for one in diagnoses), style="bold")
