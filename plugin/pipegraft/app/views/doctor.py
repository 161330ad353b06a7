"""A check-up as people read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.table import Table
from rich.text import Text

from pipegraft.core.doctor import Diagnosis, Health

__all__ = ["doctor_view", "summary"]

_MARKS = {
    Health.GOOD: ("✔", "green"),
    Health.NOTE: ("·", "dim"),
    Health.UNREACHABLE: ("!", "yellow"),
    Health.WRONG: ("✘", "bold red"),
}


def doctor_view(found: Mapping[str, Iterable[Diagnosis]]) -> Iterator[Table | Text]:
    """A block an examination: each check with its mark, and how to mend what is not good.

    Arguments:
        found: name of the examination → what came of it.
    """
    for name, diagnoses in found.items():
        yield Text(name, style="bold")
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(no_wrap=True, width=3, justify="right")
        table.add_column(overflow="fold")
        for one in diagnoses:
            mark, style = _MARKS[one.health]
            table.add_row(Text(mark, style=style), Text.assemble((one.subject, "cyan"), f"  {one.found}"))
            if one.mend and one.health is not Health.GOOD:
                table.add_row("", Text(f"→ {one.mend}"))
        yield table


def summary(diagnoses: Iterable[Diagnosis]) -> str:
    """How many checks, and how many of each sort that needs attention."""
    all_ = list(diagnoses)
    wrong = sum(one.health is Health.WRONG for one in all_)
    unreachable = sum(one.health is Health.UNREACHABLE for one in all_)
    if not (wrong or unreachable):
        return f"{len(all_)} checks, nothing is wrong"
    parts = [f"{wrong} wrong"] * bool(wrong) + [f"{unreachable} not reachable"] * bool(unreachable)
    return f"{len(all_)} checks, {', '.join(parts)}"
