"""A fleet on a terminal: tables of projects, and the figures below them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipegraft.reports.diff import unified_diff

__all__ = ["print_diffs", "print_table"]

_STYLES = {
    "current": "green",
    "proposed": "cyan",
    "updated": "cyan",
    "waiting": "yellow",
    "drifted": "yellow",
    "held": "yellow",
    "declined": "magenta",
    "refused": "red",
    "failed": "red",
    "unknown": "red",
    "success": "green",
}


def print_table(
    console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]], quiet: set[str]
) -> None:
    """A line for each project that needs one, and how many there are of each state.

    Arguments:
        columns: headings; the second one is the state.
        rows: cells.
        quiet: states that are only counted.
    """
    shown = [row for row in rows if row[1] not in quiet]
    if shown:
        table = Table(box=None, header_style="bold dim", pad_edge=False, padding=(0, 2, 0, 0))
        for number, name in enumerate(columns):
            table.add_column(name, overflow="fold", no_wrap=number < 2)
        for row in shown:
            table.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in row))
        console.print(table)
    counted = Counter(row[1] for row in rows)
    parts = [Text(f"{count} {state}", _STYLES.get(state, "dim")) for state, count in sorted(counted.items())]
    console.print(Text(f"{len(rows)} projects: ") + Text(", ").join(parts) if parts else "no projects")


def print_diffs(
    console: Console, project: str, files: Mapping[str, str | None], before: Mapping[str, str | None]
) -> None:
    """What a change does to one project's files."""
    console.rule(Text(project, "bold"), align="left", style="dim")
    for path, text in files.items():
        console.print(unified_diff(path, before.get(path), text), soft_wrap=True)
