"""A GitLab group's projects: the options that name them, and how what was done to them is shown."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, TypeVar, cast

import click

from pipegraft.cli.common import json_option, print_json
from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.console import open_console, open_progress
from pipegraft.core.foreign_text import echo
from pipegraft.core.ports import Event, Progress
from pipegraft.fleet.adapters import open_group
from pipegraft.fleet.ports import Forge
from pipegraft.fleet.report import ProjectEdit, print_diffs, print_table, request_links
from pipegraft.fleet.usecases.projects import Campaign, Outcome, Standing, propose_to_all, select
from pipegraft.fleet.usecases.waves import Watch, plan_waves, roll_out
from pipegraft.fleet.waves import parse_steps

__all__ = [
    "InWaves",
    "OnGroup",
    "Proposing",
    "exit_code",
    "forge_of",
    "in_waves",
    "on_group",
    "propose",
    "proposing",
    "show_roll_out",
    "shown",
]


F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class OnGroup:
    """Where every command works: see the options' own help."""

    group: str
    server: str | None
    patterns: tuple[str, ...]
    jobs: int
    as_json: bool

    @property
    def forge(self) -> Forge:
        """The group on its server."""
        return forge_of(self.group, self.server)


@dataclass(frozen=True, slots=True)
class Proposing:
    """How one change is proposed to all projects at once."""

    dry_run: bool
    auto_merge: bool


@dataclass(frozen=True, slots=True)
class InWaves:
    """How a change goes through a fleet in waves."""

    steps: str
    wait: float
    poll: float
    min_runs: int
    dry_run: bool
    auto_merge: bool


def _gathered(name: str, kind: type[Any], options: Sequence[Callable[[F], F]]) -> Callable[[F], F]:
    """Give a command some options, as one argument.

    Arguments:
        name: of the argument.
        kind: what it is; its fields are the options' names.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def gathering(**given: Any) -> Any:
            mine = {each.name: given.pop(each.name) for each in fields(kind)}
            return function(**given, **{name: kind(**mine)})

        for option in reversed(options):
            gathering = option(gathering)
        return cast("F", gathering)

    return decorate


on_group = _gathered(
    "place",
    OnGroup,
    (
        click.option("--group", required=True, help="Full path of the group; subgroups are included."),
        click.option("--server", metavar="URL", help="The GitLab server; CI_SERVER_URL if absent."),
        click.option(
            "--filter", "patterns", multiple=True, metavar="GLOB", help="Only these paths; repeatable."
        ),
        click.option(
            "--jobs", type=click.IntRange(1, 32), default=8, show_default=True, help="Projects at once."
        ),
        json_option,
    ),
)
_dry_run = click.option("--dry-run", is_flag=True, help="Show every difference and propose nothing.")
proposing = _gathered(
    "how",
    Proposing,
    (
        _dry_run,
        click.option("--auto-merge", is_flag=True, help="Merge each request once its project allows."),
    ),
)
in_waves = _gathered(
    "waves",
    InWaves,
    (
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
        _dry_run,
        click.option(
            "--auto-merge/--no-auto-merge",
            default=True,
            show_default=True,
            help="Merge each request itself.",
        ),
    ),
)


def forge_of(group: str, server: str | None) -> Forge:
    """The group on its server, with the token of the environment."""
    return open_group(group, server, os.environ, held_back=_tell_limit)


def _tell_limit(seconds: float) -> None:
    echo(f"GitLab's rate limit is nearly used up: the next request goes out in {seconds:.0f} s", err=True)


_COLUMNS = ("project", "state", "note")
_QUIET = {"current", "skipped"}


@contextmanager
def shown(title: str) -> Iterator[Progress]:
    """Progress over all projects.

    Arguments:
        title: what is done to them.
    """
    with open_progress() as progress:
        progress.emit(Event("started", title, "fleet"))
        yield progress


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
    with shown(campaign.title) as progress:
        outcomes = propose_to_all(
            forge, campaign, select(forge, patterns), progress, jobs=jobs, dry_run=dry_run
        )
    if as_json:
        print_json([_data(one) for one in outcomes])
        return exit_code(outcomes)
    console = open_console(highlight=True)
    if dry_run:
        _diffs(console, outcomes)
    _table(console, outcomes)
    return exit_code(outcomes)


def _diffs(console: Any, outcomes: Sequence[Outcome]) -> None:
    changed = [one for one in outcomes if one.edit.files]
    print_diffs(console, [ProjectEdit(one.project.path, one.edit.files, one.edit.before) for one in changed])


def show_roll_out(place: OnGroup, campaign: Campaign, waves: InWaves) -> int:
    """Bring a change to a fleet in waves as far as it goes now, and show where it stands.

    Returns:
        1 if it was taken back; 3 if the forge failed for a project; else 0.
    """
    watch = Watch(parse_steps(waves.steps), waves.wait, waves.poll, waves.min_runs, jobs=place.jobs)
    return (_show_waves if waves.dry_run else _roll_out)(place, campaign, watch)


def _show_waves(place: OnGroup, campaign: Campaign, watch: Watch) -> int:
    """What each wave would bring."""
    forge = place.forge
    with shown(campaign.title) as progress:
        waves = plan_waves(forge, campaign, watch, projects=select(forge, place.patterns), progress=progress)
    outcomes = [one for wave in waves for one in wave]
    numbered = [(number, one) for number, wave in enumerate(waves, 1) for one in wave]
    if place.as_json:
        print_json([{"wave": number, **_data(one)} for number, one in numbered])
        return exit_code(outcomes)
    console = open_console(highlight=True)
    _diffs(console, outcomes)
    rows = [(one.project.path, one.state, str(number), _note(console, one)) for number, one in numbered]
    print_table(console, ("project", "state", "wave", "note"), rows, set())
    return exit_code(outcomes)


def _roll_out(place: OnGroup, campaign: Campaign, watch: Watch) -> int:
    forge = place.forge
    with shown(campaign.title) as progress:
        projects = select(forge, place.patterns)
        found = roll_out(forge, campaign, watch, projects=projects, clock=SystemClock(), progress=progress)
    if place.as_json:
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
        console = open_console(highlight=True)
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
    rows = [(one.project.path, one.state, _note(console, one)) for one in outcomes]
    print_table(console, _COLUMNS, rows, _QUIET)


def _note(console: Any, outcome: Outcome) -> Any:  # a rich text, or a string
    proposal = outcome.proposal
    return request_links(console, [proposal]) if proposal and outcome.note == proposal.url else outcome.note


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
