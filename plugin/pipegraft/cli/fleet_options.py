"""The options of `pipegraft fleet`: each group of them reaches its command as one value."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar, cast

import click

from pipegraft.cli.common import json_option
from pipegraft.core.foreign_text import echo
from pipegraft.fleet.adapters.gitlab_group import open_group
from pipegraft.fleet.ports import Forge

__all__ = ["InWaves", "OnGroup", "Proposing", "forge_of", "in_waves", "on_group", "proposing"]

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
