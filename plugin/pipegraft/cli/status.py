"""`pipegraft status`: what runs where, on a terminal; with what `pipegraft board` takes from it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipegraft.app.boards import BoardPlaces, read_board
from pipegraft.board.views import board_table, notes
from pipegraft.cli.common import print_json
from pipegraft.core.console import open_console
from pipegraft.core.delivery import Delivery
from pipegraft.core.delivery_file import DELIVERY_FILE, parse_document, read_text

__all__ = ["board_options", "reading_progress", "status_command"]


F = TypeVar("F", bound=Callable[..., Any])


def board_options(function: F) -> F:
    """Arguments and options that name repositories; the command gets them as `places`."""

    @click.argument("repositories", nargs=-1)
    @click.option("--group", help="Show all projects of this group on GitLab.")
    @click.option("--server", help="With --group: URL of the GitLab; CI_SERVER_URL if absent.")
    @click.option("--branch", help="Branch of the IaC repositories; the delivery's, else main.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @functools.wraps(function)
    def with_places(
        *,
        repositories: tuple[str, ...],
        group: str | None,
        server: str | None,
        branch: str | None,
        **rest: Any,
    ) -> Any:
        delivery = Path(DELIVERY_FILE)
        if not repositories and group is None and delivery.exists():
            iac = parse_document(read_text(delivery), DELIVERY_FILE, Delivery).iac
            repositories, branch = (iac.repository,), branch or iac.branch
        places = BoardPlaces(repositories, group, server, branch or "main")
        return function(places=places, **rest)

    return with_places  # type: ignore[return-value] # click passes the arguments by name


@contextmanager
def reading_progress() -> Iterator[Callable[[int, int], None]]:
    """Shows how many repositories are read and the time left, on a terminal."""
    console = open_console(stderr=True, highlight=True)
    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@click.command("status")
@board_options
def status_command(places: BoardPlaces, as_json: bool) -> None:
    """Show what runs where, from IaC repositories alone, as `pipegraft board` does on pages.

    REPOSITORIES are URLs, clones, bare repositories, or folders that hold some; in a source repository its
    delivery.yaml names the one that is shown.
    """
    with reading_progress() as told:
        board = read_board(places, os.environ, told)
    if as_json:
        print_json(board.to_json())
        return
    console = open_console()
    console.print(board_table(board))
    lines = [line for one in board.applications for line in notes(one)]
    if lines:
        console.print()
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
