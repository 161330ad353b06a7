"""What the commands of `pipegraft fleet` share: their options, and how they show what they did."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pipegraft.cli.common import json_option, print_json

if TYPE_CHECKING:
    from pipegraft.ports.forge import Forge
    from pipegraft.ports.progress import Progress
    from pipegraft.usecases.fleet.propose import Campaign, Outcome
    from pipegraft.usecases.fleet.survey import Standing
    from pipegraft.usecases.fleet.waves import Watch

__all__ = [
    "exit_code",
    "forge_of",
    "in_waves",
    "on_group",
    "propose",
    "proposing",
    "show_roll_out",
    "shown",
    "watch_of",
]

F = TypeVar("F", bound=Callable[..., Any])

_COLUMNS = ("project", "state", "note")
_QUIET = {"current", "skipped"}


def on_group(function: F) -> F:
    """The options of every command."""
    for option in (
        click.option("--group", required=True, help="Full path of the group; subgroups are included."),
        click.option("--server", metavar="URL", help="The GitLab server; CI_SERVER_URL if absent."),
        click.option(
            "--filter", "patterns", multiple=True, metavar="GLOB", help="Only these paths; repeatable."
        ),
        click.option(
            "--jobs", type=click.IntRange(1, 32), default=8, show_default=True, help="Projects at once."
        ),
        json_option,
    ):
        function = option(function)
    return function


def proposing(function: F) -> F:
    """The options of commands that propose one change to all projects at once."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Show every difference and propose nothing."),
        click.option("--auto-merge", is_flag=True, help="Merge each request once its project allows."),
    ):
        function = option(function)
    return function


def in_waves(function: F) -> F:
    """The options of commands that go through a fleet in waves."""
    for option in (
        click.option(
            "--steps", default="1%,10%,50%,100%", show_default=True, help="Share of the fleet in each wave."
        ),
        click.option(
            "--wait",
            type=float,
            default=0.0,
            metavar="SECONDS",
            help="Wait so long for merges and pipelines; without it, do what is due and leave.",
        ),
        click.option(
            "--poll",
            type=click.FloatRange(min=0.01),
            default=60.0,
            show_default=True,
            help="Seconds between looks.",
        ),
        click.option(
            "--min-runs",
            type=click.IntRange(0),
            default=1,
            show_default=True,
            help="Pipelines each project must have finished since, before the next wave.",
        ),
    ):
        function = option(function)
    return function


def forge_of(group: str, server: str | None) -> Forge:
    """The group on its server, with the token of the environment."""
    from pipegraft.adapters.forge.group import open_group  # noqa: PLC0415

    return open_group(group, server, os.environ, held_back=_tell_limit)


def _tell_limit(seconds: float) -> None:
    click.echo(
        f"GitLab's rate limit is nearly used up: the next request goes out in {seconds:.0f} s", err=True
    )


@contextmanager
def shown(title: str) -> Iterator[Progress]:
    """Progress over all projects.

    Arguments:
        title: what is done to them.
    """
    from pipegraft.ports.progress import Event  # noqa: PLC0415
    from pipegraft.reports.progress import open_progress  # noqa: PLC0415

    with open_progress() as progress:
        progress.emit(Event("started", title, "fleet"))
        yield progress


def watch_of(steps: str, wait: float, poll: float, min_runs: int, jobs: int) -> Watch:
    """How waves are watched, from what a user wrote."""
    from pipegraft.domain.fleet.waves import parse_steps  # noqa: PLC0415
    from pipegraft.usecases.fleet.waves import Watch  # noqa: PLC0415

    return Watch(parse_steps(steps), wait, poll, min_runs, jobs=jobs)


def propose(
    forge: Forge,
    campaign: Campaign,
    patterns: Sequence[str],
    *,
    jobs: int,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Propose a change to all projects, and show what came of it.

    Returns:
        3 if the forge failed for a project: run it again; 1 if a project refuses the change; else 0.
    """
    from rich.console import Console  # noqa: PLC0415

    from pipegraft.reports.fleet import print_diffs  # noqa: PLC0415
    from pipegraft.usecases.fleet.propose import propose_to_all, select  # noqa: PLC0415

    with shown(campaign.title) as progress:
        outcomes = propose_to_all(
            forge, campaign, select(forge, patterns), progress, jobs=jobs, dry_run=dry_run
        )
    if as_json:
        print_json([_data(one) for one in outcomes])
        return exit_code(outcomes)
    console = Console()
    if dry_run:
        for one in outcomes:
            if one.edit.files:
                print_diffs(console, one.project.path, one.edit.files, one.edit.before)
    _table(console, outcomes)
    return exit_code(outcomes)


def show_roll_out(
    forge: Forge, campaign: Campaign, patterns: Sequence[str], watch: Watch, *, as_json: bool
) -> int:
    """Bring a change to a fleet in waves as far as it goes now, and show where it stands.

    Returns:
        1 if it was taken back; 3 if the forge failed for a project; else 0.
    """
    from rich.console import Console  # noqa: PLC0415

    from pipegraft.adapters.clock import SystemClock  # noqa: PLC0415
    from pipegraft.usecases.fleet.propose import select  # noqa: PLC0415
    from pipegraft.usecases.fleet.waves import roll_out  # noqa: PLC0415

    with shown(campaign.title) as progress:
        found = roll_out(
            forge, campaign, watch, projects=select(forge, patterns), clock=SystemClock(), progress=progress
        )
    if as_json:
        print_json(
            {
                "state": found.state,
                "wave": found.wave,
                "waves": found.waves,
                "note": found.note,
                "projects": [_data(one) for one in found.outcomes],
                "reverts": [one.url for one in found.reverts],
            }
        )
    else:
        console = Console()
        _table(console, found.outcomes)
        for one in found.reverts:
            console.print(f"undone by {one.url}", highlight=False)
        console.print(
            f"{found.state}, wave {found.wave} of {found.waves}: {found.note}",
            highlight=False,
            soft_wrap=True,
        )
    return 1 if found.state == "reverted" else exit_code(found.outcomes)


def _table(console: Any, outcomes: Sequence[Outcome]) -> None:
    from pipegraft.reports.fleet import print_table  # noqa: PLC0415

    rows = [(one.project.path, one.state, one.note) for one in outcomes]
    print_table(console, _COLUMNS, rows, _QUIET)


def _data(outcome: Outcome) -> dict[str, Any]:
    return {
        "project": outcome.project.path,
        "state": outcome.state,
        "note": outcome.note,
        "files": dict(outcome.edit.files),
        "merge-request": outcome.proposal.url if outcome.proposal else None,
    }


def exit_code(outcomes: Sequence[Outcome] | Sequence[Standing]) -> int:
    """3 if the forge failed for a project: run it again; 1 if a project refuses; else 0."""
    states = {one.state for one in outcomes}
    return 3 if "failed" in states else 1 if "refused" in states else 0
