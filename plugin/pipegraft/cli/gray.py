"""`pipegraft gray` and `pipegraft judge`: steer a gray release, and try what would judge it."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from pipegraft.app.bump import prepare_config
from pipegraft.app.gray import GrayStatus, gray_report, gray_status, tell_gray, wait_until_live
from pipegraft.app.judge import Replay, environment_policy, judge_history, judge_releases
from pipegraft.app.suggest import Suggestion, suggestion_data, suggestion_lines
from pipegraft.app.suggest import suggest as suggest_settings
from pipegraft.cli.common import directory_option, json_option, load_plugins, print_json, write_page
from pipegraft.core.adapters.files import RECORD, FileReleaseStore
from pipegraft.core.console import open_console, open_progress
from pipegraft.core.delivery import Gray
from pipegraft.core.delivery_file import open_project
from pipegraft.core.errors import UsageError
from pipegraft.core.foreign_text import echo, json_of
from pipegraft.gray.history import as_data
from pipegraft.gray.machine import Command
from pipegraft.gray.report import brief, render_html
from pipegraft.gray.views import judgement_lines, simulated
from pipegraft.iac.ports import Commit

__all__ = ["gray_command", "judge_command"]


_environment_option = click.option(
    "--env", "environment", help="The environment; needed if several declare gray releases."
)
_release_option = click.option(
    "--release", type=click.IntRange(min=0), help="Number of the release; the newest one if absent."
)

_WRITES = (".html", ".json")
"""What a report's name may end in."""


@click.group("gray")
def gray_command() -> None:
    """Prepare or show a gray release, or approve, abort, pause or skip: each word is a commit."""


@gray_command.command("status")
@_environment_option
@_release_option
@directory_option
@json_option
def status(environment: str | None, release: int | None, directory: Path, as_json: bool) -> None:
    """Show where a release stands, or how it ended, and which commits led there."""
    project = open_project(directory, load_plugins())
    _show_gray(gray_status(project, environment, number=release), as_json=as_json)


@gray_command.command("report")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_environment_option
@_release_option
@directory_option
def report(file: Path, environment: str | None, release: int | None, directory: Path) -> None:
    """Write the story of a release to FILE: as a page if it ends in .html, as JSON if it ends in .json."""
    if file.suffix not in _WRITES:
        raise click.BadParameter(
            f"expected a name that ends in {' or '.join(_WRITES)}, found '{file}'", param_hint="FILE"
        )
    project = open_project(directory, load_plugins())
    store = FileReleaseStore(project.root / RECORD)
    record = store.load() if store.path.exists() else None
    found = gray_report(project, environment, record, number=release)
    text = json_of(found.to_json()) if file.suffix == ".json" else render_html(found)
    write_page(file, text)
    echo(f"{found.environment}: release {found.release}: {file}")


@gray_command.command("prepare")
@_environment_option
@click.option(
    "--set",
    "config",
    multiple=True,
    required=True,
    metavar="PATH=VALUE",
    help="What the new version has: components.NAME.KEY…=VALUE, as in the app spec. Repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Show the difference and write nothing.")
@directory_option
@json_option
def prepare(
    *, environment: str | None, config: tuple[str, ...], dry_run: bool, directory: Path, as_json: bool
) -> None:
    """Prepare a change of configuration as a release, with the images that run.

    Like iac-bump it adds a gray block of weight 0. `pipegraft run gray-release` then waits for the engine,
    moves the requests, and promotes the change or takes it back.
    """
    project = open_project(directory, load_plugins())
    with open_progress() as progress:
        done = prepare_config(project, environment, config, progress, variables=os.environ, dry_run=dry_run)
    if as_json:
        print_json(
            {
                "environment": done.environment,
                "release": done.number,
                "outcome": done.outcome,
                "commit": done.commit,
                "diff": done.diff,
            }
        )
    elif done.outcome == "written":
        echo(f"next: pipegraft run gray-release --env {done.environment}")


def _teller(word: Command, summary: str) -> Callable[..., None]:
    """The subcommand that says one word."""

    @gray_command.command(word, help=summary)
    @_environment_option
    @click.option("--reason", default="", help="Why; it goes into the commit.")
    @click.option("--wait", is_flag=True, help="Wait until the engine has it.")
    @directory_option
    @json_option
    def tell(environment: str | None, reason: str, wait: bool, directory: Path, as_json: bool) -> None:
        project = open_project(directory, load_plugins())
        by = f"{_person()}: {reason}" if reason else _person()
        told = tell_gray(project, environment, word, by)
        if wait:
            with open_progress() as progress:
                wait_until_live(project, told.environment, told.commits[0].id, progress)
        _show_gray(told, as_json=as_json)

    return tell


approve = _teller("approve", "Go on with a release that is held or paused.")
abort = _teller("abort", "Take the release back now, even after its promotion.")
pause = _teller("pause", "Stay at the present weight until somebody approves.")
skip = _teller("skip", "Go to the next step without the judge's answer.")


def _person() -> str:
    """Who runs this, as the CI system or the machine knows them."""
    names = ("GITLAB_USER_LOGIN", "BUILD_USER_ID", "BUILD_USER")
    found = next((os.environ[name] for name in names if os.environ.get(name)), "")
    try:
        return found or getpass.getuser()
    except (OSError, KeyError):
        return "somebody"  # a container's user without a name


def _show_gray(found: GrayStatus, *, as_json: bool) -> None:
    if as_json:
        print_json(found.to_json())
        return
    if found.controller:
        echo(f"{found.environment}: {found.controller}")
        return
    data: dict[str, Any] = found.to_json()
    release, standing = f"release {found.number}", found.standing
    where = {
        "none": "nothing was released yet",
        "gray": f"{release} gets {standing.weight}% of the requests ({standing.phase})",
        "promoted": f"{release} serves all requests",
        "superseded": f"release {standing.newer} took over",
        "absent": f"{release} was taken back",
    }[data["state"]]
    echo(f"{found.environment}: {where}")
    for commit in found.commits:
        _show_commit(commit, found.path)
    if standing.phase in ("paused", "held"):
        words = "`pipegraft gray approve`, `skip` or `abort`"
        echo(f"it waits for a person: {words}, with --env {found.environment}")


def _show_commit(commit: Commit, path: str) -> None:
    """What it did, when, and why: of the one that prepared the release everything, of others the reason."""
    step = commit.trailers.get("Pipegraft-Step", "")
    body = commit.message.split("\n\n")
    lines = [brief(line.removeprefix(f"{path}: ")) for line in body[1].splitlines()] if len(body) > 2 else []
    head = f"  {commit.id[:12]}  {datetime.fromtimestamp(commit.time, UTC):%Y-%m-%d %H:%M}  {step:<14} "
    echo(f"{head}{lines[0] if lines else ''}".rstrip())
    for line in lines[1:] if step in ("prepare", "bump") else ():
        echo(" " * len(head) + line)


@click.command("judge")
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--judge", "name", help="The judge to ask; the one that the policy names if absent.")
@click.option("--env", "environment", help="Judge by the policy of this environment in delivery.yaml.")
@click.option(
    "--last",
    type=click.IntRange(min=1),
    metavar="N",
    help="Judge the last N gray releases of the environment that the IaC repository tells of.",
)
@click.option("--verbose", "-v", is_flag=True, help="Show the evidence as numbers, too.")
@click.option("--suggest", is_flag=True, help="Print settings that the environment's own releases speak for.")
@click.option("--simulate", is_flag=True, help="Simulate whole releases, good and bad; needs numpy.")
@click.option(
    "--releases",
    type=click.IntRange(min=10),
    default=200,
    show_default=True,
    help="With --simulate: releases of each kind.",
)
@click.option(
    "--requests",
    type=click.FloatRange(min=1),
    help="With --simulate: requests of both versions in an interval; several amounts if absent.",
)
@directory_option
@json_option
def judge_command(
    *,
    files: tuple[Path, ...],
    name: str | None,
    environment: str | None,
    last: int | None,
    verbose: bool,
    suggest: bool,
    simulate: bool,
    releases: int,
    requests: float | None,
    directory: Path,
    as_json: bool,
) -> int:
    """Judge recorded releases again, to tune a policy before trusting it.

    Each FILE holds the observations of one release, as YAML or JSON, and the policy to judge it by unless
    --env names one. The format is in docs/judging.md. With --last the commits of the environment's own
    releases say what was observed, and delivery.yaml the policy: change it there and judge again.

    With --simulate nothing recorded is needed: releases are made up by chance, of good versions in many
    worlds and of bad ones with many faults, and decided as real ones would be, by the policy of --env or the
    defaults. It tells what that policy lets through and takes back, and how soon.

    With --suggest the same history says how far the versions drift by themselves, and for how long: printed
    are the settings that follow, and what they promise at the newest release's traffic; `learn: true` uses
    them.

    Exit code 0 when the judge would let every release go on; 1 when one fails, or is undecided at its
    end and its policy does not let it go on.
    """
    if [bool(files), last is not None, suggest, simulate].count(True) != 1:
        raise click.UsageError(
            "expected FILEs of recorded releases, --last N for those of the history, --suggest, or --simulate"
        )
    plugins = load_plugins()
    if suggest:
        _suggest(suggest_settings(open_project(directory, plugins), environment), as_json=as_json)
        return 0
    if simulate:
        gray = environment_policy(directory, environment, plugins) if environment else None
        _simulate(gray, releases, requests, as_json=as_json)
        return 0
    if last is not None:
        project = open_project(directory, plugins)
        replays = judge_history(project, environment, last, judge=name)
    else:
        gray = environment_policy(directory, environment, plugins) if environment else None
        replays = judge_releases(files, plugins, judge=name, gray=gray)
    if as_json:
        print_json([_replay_data(replay) for replay in replays])
    else:
        _show_replays(replays, verbose=verbose)
    return 0 if all(replay.goes_on for replay in replays) else 1


def _suggest(found: Suggestion, *, as_json: bool) -> None:
    if as_json:
        print_json(suggestion_data(found))
    else:
        for line in suggestion_lines(found):
            echo(line)


def _simulate(gray: Gray | None, releases: int, requests: float | None, *, as_json: bool) -> None:
    try:
        simulation = import_module("pipegraft.app.simulate")
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        raise UsageError(
            "expected numpy for the simulation, found none", fix="pip install 'pipegraft[simulate]'"
        ) from None
    lines = list(simulation.simulate_policy(gray, count=releases, requests=requests))
    if as_json:
        print_json([asdict(line) for line in lines])
    else:
        open_console().print(simulated(lines))


def _show_replays(replays: tuple[Replay, ...], *, verbose: bool) -> None:
    console = open_console()
    for replay in replays:
        steps = [(step.weight, step.intervals, step.judgement) for step in replay.steps]
        console.print(replay.name, soft_wrap=True, markup=False)
        for line in judgement_lines(replay.judge, steps, verbose=verbose):
            console.print(line, soft_wrap=True)


def _replay_data(replay: Replay) -> dict[str, Any]:
    return {
        "file": replay.name if replay.release is None else None,
        "release": replay.release,
        "judge": replay.judge,
        "goes-on": replay.goes_on,
        "steps": [
            {"weight": step.weight, "intervals": step.intervals, "judgement": as_data(step.judgement)}
            for step in replay.steps
        ],
    }
