"""`pipegraft board` and `pipegraft status`: what runs where, on pages and on a terminal."""

from __future__ import annotations

import asyncio
import functools
import os
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipegraft.app.boards import BoardPlaces, read_board, tell_board
from pipegraft.board.adapters import LiveBoard, serve
from pipegraft.board.views import application_page, board_page, board_table, notes, page_name
from pipegraft.cli.common import print_json, write_page
from pipegraft.core.console import open_console
from pipegraft.core.delivery import Delivery
from pipegraft.core.delivery_file import DELIVERY_FILE, parse_document, read_text
from pipegraft.core.errors import UsageError
from pipegraft.core.foreign_text import echo

__all__ = ["board_command", "status_command"]

TOKEN = "PIPEGRAFT_BOARD_TOKEN"  # noqa: S105 - the variable's name

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


@click.command("board")
@board_options
@click.option("--title", default="Delivery", show_default=True, help="What the board is called.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("board"),
    show_default=True,
    help="Folder for the pages.",
)
@click.option("--serve", "live", is_flag=True, help="Serve a live page instead of writing files.")
@click.option("--host", default="127.0.0.1", show_default=True, help="With --serve: address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8088, show_default=True, help="With --serve.")
@click.option("--name", "names", multiple=True, help="With --serve: a host name that it is reached by.")
@click.option(
    "--refresh", type=click.IntRange(min=1), default=30, show_default=True, help="With --serve: seconds."
)
@click.option(
    "--control",
    is_flag=True,
    help=f"With --serve: let those who know the token in {TOKEN} approve, pause and abort.",
)
@click.option("--open", "browse", is_flag=True, help="Show it in the browser.")
def board_command(
    *,
    places: BoardPlaces,
    title: str,
    output: Path,
    live: bool,
    host: str,
    port: int,
    names: tuple[str, ...],
    refresh: int,
    control: bool,
    browse: bool,
    as_json: bool,
) -> None:
    """Show what runs where, from IaC repositories alone.

    REPOSITORIES are URLs, clones, bare repositories, or folders that hold some. What did not change since the
    last time is not read again.
    """
    places = BoardPlaces(places.places, places.group, places.server, places.branch, title)
    token = _token(live=live, control=control)
    if live:
        reader = partial(read_board, places, os.environ)
        teller = partial(tell_board, places, os.environ)
        board = LiveBoard(reader, teller, refresh, token, frozenset(names))
        with suppress(KeyboardInterrupt):
            asyncio.run(serve(board, host, port, partial(_ready, browse=browse)))
        return
    with reading_progress() as told:
        found = read_board(places, os.environ, told)
    if as_json:
        print_json(found.to_json())
        return
    (output / "apps").mkdir(parents=True, exist_ok=True)
    for application in found.applications:  # the index comes last, and is what is waited for
        page = application_page(application, found.made)
        (output / page_name(application)).write_text(page, encoding="utf-8")
    write_page(output / "index.html", board_page(found))
    echo(f"{len(found.applications)} applications: {output / 'index.html'}")
    if browse:
        webbrowser.open((output / "index.html").absolute().as_uri())


def _token(*, live: bool, control: bool) -> str:
    if not control:
        return ""
    token = os.environ.get(TOKEN, "")
    if not live or len(token) < 16:
        raise UsageError(
            f"--control needs --serve and a token of at least 16 characters in {TOKEN}",
            fix=f"export {TOKEN}=$(openssl rand -hex 24)",
        )
    return token


def _ready(address: str, *, browse: bool) -> None:
    echo(f"the board is at {address}")
    if browse:
        webbrowser.open(address)
