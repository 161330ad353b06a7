"""The board on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from pipegraft.board.model import Application, Board, Cell
from pipegraft.board.reading import in_order
from pipegraft.board.views.page import show_lead
from pipegraft.core.views.axes import ago, show_duration

__all__ = ["board_table", "notes"]

_STYLES = {
    "serves": "green",
    "gray": "magenta",
    "paused": "bold magenta",
    "held": "bold magenta",
    "taken back": "red",
    "unreadable": "bold red",
    "empty": "dim",
}
_BLOCKS = 10


def board_table(board: Board) -> Table:
    """A line for each application, a column for each environment."""
    columns = in_order({cell.environment for one in board.applications for cell in one.cells})
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("application", *columns):
        table.add_column(name, overflow="fold")
    for application in board.applications:
        cells = {cell.environment: cell for cell in application.cells}
        table.add_row(
            Text(application.name, style="bold"),
            *(
                _cell(cells[name], board.made) if name in cells else Text("-", style="dim")
                for name in columns
            ),
        )
    return table


def notes(application: Application) -> Iterator[str]:
    """What the table has no room for: how far environments are apart, and what cannot be read."""
    if application.problem:
        yield f"{application.name}: {application.problem}"
    for cell in application.cells:
        if cell.problem:
            yield f"{application.name}, {cell.environment}: {cell.problem}"
    for lead in application.leads:
        if lead.images or lead.releases:
            yield f"{application.name}: {show_lead(lead)}"


def _cell(cell: Cell, now: float) -> Text:
    said = Text(cell.state, style=_STYLES[cell.state])
    if cell.release is not None:
        said.append(f" #{cell.release}", style="default")
    if cell.since:
        said.append(f" {ago(now - cell.since)}", style="dim")
    if cell.trial:
        full = round(cell.trial.weight * _BLOCKS / 100)
        said.append(f"\n{'█' * full}{'░' * (_BLOCKS - full)}", style="magenta")
        since = show_duration(now - cell.trial.since)
        said.append(f" #{cell.trial.release} gets {cell.trial.weight}%, since {since}", style="default")
    return said
