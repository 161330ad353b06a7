"""The resources a gate looks at, as a table on a terminal: what is not well comes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

__all__ = ["resource_table"]

_MARKS = {
    "failed": ("✘", "red"),
    "blocked": ("■", "red"),
    "suspended": ("‖", "yellow"),
    "progressing": ("○", "cyan"),
    "succeeded": ("●", "green"),
}
_MOST = 12


def resource_table(rows: Sequence[Mapping[str, str]]) -> Table:
    """The table.

    Arguments:
        rows: ``name``, ``state`` and ``message`` of each resource.
    """
    order = list(_MARKS)
    sorted_rows = sorted(rows, key=lambda row: order.index(row["state"]))
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="ellipsis", no_wrap=True)
    for row in sorted_rows[:_MOST]:
        mark, style = _MARKS[row["state"]]
        kind, _, name = row["name"].rpartition(" ")
        called = Text.assemble((f"{kind} ", "dim"), (name, "bold"))
        table.add_row(Text(f"      {mark}", style=style), called, Text(row["message"], style="dim"))
    left = len(sorted_rows) - _MOST
    if left > 0:
        well = sum(row["state"] == "succeeded" for row in sorted_rows)
        table.add_row("", Text(f"and {left} more; {well} of {len(sorted_rows)} are well", style="dim"), "")
    return table
