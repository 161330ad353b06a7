"""A fleet on a terminal: tables of projects, and the figures below them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipegraft.model.fleet import Proposal
from pipegraft.reports.diff import unified_diff

__all__ = ["print_diffs", "print_table", "request_links"]

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
    "success": "green",
}
_TROUBLED = {"refused", "failed", "held"}
"""States whose note is an error: a sentence or more, too long for a column."""
_ENDLESS = 10_000
"""Columns of what is no terminal: a line that a program reads must not be broken."""


def print_table(
    console: Console, columns: Sequence[str], rows: Sequence[Sequence[str | Text]], quiet: set[str]
) -> None:
    """A line for each project that needs one, what troubles some in full, and how many are in each state.

    Arguments:
        columns: headings; the second one is the state, the last one a note.
        rows: cells.
        quiet: states that are only counted.
    """
    shown = [row for row in rows if row[1] not in quiet]
    if shown:
        if not console.is_terminal:
            console.width = _ENDLESS
        table = Table(box=None, header_style="bold dim", pad_edge=False, padding=(0, 2, 0, 0))
        for number, name in enumerate(columns):
            table.add_column(name, overflow="fold", no_wrap=number < len(columns) - 1)
        for row in shown:
            cells = (*row[:-1], "") if row[1] in _TROUBLED else row
            table.add_row(
                *(cell if isinstance(cell, Text) else Text(cell, _STYLES.get(cell, "")) for cell in cells)
            )
        console.print(table)
    for row in shown:
        if row[1] in _TROUBLED and row[-1]:
            console.print(Text(f"{row[0]}: ", "red"), row[-1], sep="", soft_wrap=True, highlight=False)
    counted = Counter(str(row[1]) for row in rows)
    parts = [Text(f"{count} {state}", _STYLES.get(state, "dim")) for state, count in sorted(counted.items())]
    console.print(Text(f"{len(rows)} projects: ") + Text(", ").join(parts) if parts else "no projects")


def request_links(console: Console, proposals: Sequence[Proposal]) -> Text:
    """Merge requests by number, each a link, on a terminal; elsewhere their addresses."""
    words = [
        Text(f"!{one.number}", f"link {one.url}") if console.is_terminal else Text(one.url)
        for one in proposals
    ]
    return Text(" ").join(words)


def print_diffs(
    console: Console, project: str, files: Mapping[str, str | None], before: Mapping[str, str | None]
) -> None:
    """What a change does to one project's files."""
    console.rule(Text(project, "bold"), align="left", style="dim")
    for path, text in files.items():
        console.print(unified_diff(path, before.get(path), text), soft_wrap=True)
