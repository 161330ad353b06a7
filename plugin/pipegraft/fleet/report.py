"""A fleet on a terminal: tables of projects, and the figures below them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipegraft.core.console import unified_diff
from pipegraft.fleet.ports import Proposal

__all__ = ["ProjectEdit", "print_diffs", "print_table", "request_links"]


@dataclass(frozen=True, slots=True)
class ProjectEdit:
    """One project's files as they would be, None for one that goes, and as they are."""

    project: str
    files: Mapping[str, str | None]
    before: Mapping[str, str | None]


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


def print_diffs(console: Console, edits: Sequence[ProjectEdit]) -> None:
    """What a change does to the projects' files; where the same lines change, it is shown once."""
    alike: dict[tuple[tuple[str, str], ...], list[ProjectEdit]] = {}
    for edit in edits:
        alike.setdefault(tuple(_changed_lines(edit)), []).append(edit)
    for same in alike.values():
        first = same[0]
        more = f" and {len(same) - 1} more, where the same lines change" if len(same) > 1 else ""
        console.rule(Text(f"{first.project}{more}", "bold"), align="left", style="dim")
        for path, text in first.files.items():
            console.print(unified_diff(path, first.before.get(path), text), soft_wrap=True)


def _changed_lines(edit: ProjectEdit) -> Iterator[tuple[str, str]]:
    for path, text in edit.files.items():
        lines = unified_diff(path, edit.before.get(path), text).plain.splitlines()
        yield path, "\n".join(line for line in lines if line.startswith(("+", "-")))
