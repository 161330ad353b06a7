"""`pipegraft status`: what runs where, on a terminal."""

from __future__ import annotations

import os

import click

from pipegraft.app.boards import BoardPlaces, read_board
from pipegraft.board.views.board import board_table, notes
from pipegraft.cli.board_options import board_options, reading_progress
from pipegraft.cli.common import print_json
from pipegraft.core.console import open_console

__all__ = ["command"]


@click.command("status")
@board_options
def command(places: BoardPlaces, as_json: bool) -> None:
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
