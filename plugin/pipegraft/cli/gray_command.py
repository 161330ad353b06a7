"""`pipegraft gray`: see a gray release, and tell it what to do."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from pipegraft.app.gray import GrayStatus, gray_report, gray_status, tell_gray, wait_until_live
from pipegraft.app.prepare_config import prepare_config
from pipegraft.cli.common import directory_option, json_option, load_plugins, print_json, write_page
from pipegraft.core.adapters.files import RECORD, FileReleaseStore
from pipegraft.core.console import open_progress
from pipegraft.core.delivery_file import open_project
from pipegraft.core.foreign_text import echo
from pipegraft.gray.machine import Command
from pipegraft.gray.report import brief, render_html
from pipegraft.iac.ports import Commit

__all__ = ["command"]

_environment_option = click.option(
    "--env", "environment", help="The environment; needed if several declare gray releases."
)
_release_option = click.option(
    "--release", type=click.IntRange(min=0), help="Number of the release; the newest one if absent."
)

_WRITES = (".html", ".json")
"""What a report's name may end in."""


@click.group("gray")
def command() -> None:
    """Prepare or show a gray release, or approve, abort, pause or skip: each word is a commit."""


@command.command("status")
@_environment_option
@_release_option
@directory_option
@json_option
def status(environment: str | None, release: int | None, directory: Path, as_json: bool) -> None:
    """Show where a release stands, or how it ended, and which commits led there."""
    project = open_project(directory, load_plugins())
    _show(gray_status(project, environment, number=release), as_json=as_json)


@command.command("report")
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
    text = json.dumps(found.to_json(), indent=2) + "\n" if file.suffix == ".json" else render_html(found)
    write_page(file, text)
    echo(f"{found.environment}: release {found.release}: {file}")


@command.command("prepare")
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

    @command.command(word, help=summary)
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
        _show(told, as_json=as_json)

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


def _show(found: GrayStatus, *, as_json: bool) -> None:
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
