"""What an injection or ejection does, told to people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipegraft.ci.model import EventRow, Injection
from pipegraft.core.console import unified_diff

__all__ = ["GraftReport", "print_events", "print_graft"]

_SHOWN_NAMES = 12
_SHOWN_LINES = 60  # of a file that is new as a whole


@dataclass(frozen=True, slots=True)
class GraftReport:
    """What to tell.

    Arguments:
        title: what was done to what.
        injection: the changes.
        before: texts that change, as they were.
        verb: ``added`` or ``removed``.
        following: what to do next, one clause each.
        verified: what the CI server agreed with.
    """

    title: str
    injection: Injection
    before: Mapping[str, str | None]
    verb: str = "added"
    following: Sequence[str] = ()
    verified: str = ""


def print_graft(console: Console, report: GraftReport) -> None:
    """Print the title, what stays, what comes, the diff and what to do next."""
    injection = report.injection
    console.print(f"[bold]{escape(report.title)}[/]\n", highlight=False)
    for line in _summary(report):
        console.print(line, highlight=False, soft_wrap=True)
    if report.verified:
        console.print(f"[green]✔[/] {escape(report.verified)}", highlight=False, soft_wrap=True)
    for clause in injection.invalid:
        console.print(
            f"[red]✘[/] The CI system refuses this already: {escape(clause)}", highlight=False, soft_wrap=True
        )
    if injection.events:
        print_events(console, injection.events)
    for note in injection.notes:
        console.print(f"[yellow]![/] {escape(note)}", highlight=False, soft_wrap=True)
    console.print()
    for change in _changes(report):
        console.print(change, highlight=False, soft_wrap=True)
    if report.following:
        console.print("[bold]Next[/]", highlight=False)
    for number, step in enumerate(report.following, 1):
        console.print(f"  {number}. {escape(step)}", highlight=False, soft_wrap=True)


def print_events(console: Console, events: Sequence[EventRow]) -> None:
    """Print when delivery runs, one line an event."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("event", "pipeline", "delivery", "behind"):
        table.add_column(title, overflow="fold")
    for row in events:
        table.add_row(escape(row.name), row.pipeline, row.delivery, escape(_behind(row)))
    console.print()
    console.print(table, highlight=False)
    console.print()


def _behind(row: EventRow) -> str:
    if row.delivery == "no":
        return row.why
    waits = f"; waits for somebody to start {', '.join(row.waits_for)}" if row.waits_for else ""
    shown = ", ".join(row.behind[:_SHOWN_NAMES]) or "nothing of yours"
    more = f" and {len(row.behind) - _SHOWN_NAMES} more" if len(row.behind) > _SHOWN_NAMES else ""
    depends = f" ({row.why})" if row.why else ""
    return f"{shown}{more}{waits}{depends}"


def _summary(report: GraftReport) -> Iterator[str]:
    injection = report.injection
    mark = "[yellow]![/]" if injection.invalid else "[green]✔[/]"
    yield (
        f"{mark} {_count(injection.jobs_unchanged, 'job')} unchanged, each compared as it is in force "
        f"before and after{_names(injection.jobs_unchanged)}"
    )
    sign = "[green]+[/]" if report.verb == "added" else "[red]-[/]"
    if injection.jobs_added:
        yield f"{sign} {_count(injection.jobs_added, 'job')} {report.verb}{_names(injection.jobs_added)}"
    stages = injection.stages_added
    if stages:
        yield f"{sign} {_count(stages, 'stage')} {report.verb}{_names(stages)}"


def _count(names: Sequence[str], word: str) -> str:
    return f"{len(names)} {word}{'' if len(names) == 1 else 's'}"


def _names(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return f": [dim]{escape(', '.join(names[:_SHOWN_NAMES]))}{more}[/]"


def _yours_first(report: GraftReport) -> list[str]:
    """Files that were there before delivery, then those that it brings."""
    return sorted(report.injection.files, key=lambda name: (name.startswith(".pipegraft/"), name))


def _changes(report: GraftReport) -> Iterator[Text]:
    """The diffs; files that come or go as a whole and are long get one line each."""
    whole: list[Text] = []
    for name in _yours_first(report):
        before, after = report.before.get(name), report.injection.files[name]
        lines = (after or before or "").count("\n")
        if (before is None or after is None) and (after is None or lines > _SHOWN_LINES):
            word = "new" if before is None else "deleted"
            whole.append(
                Text.assemble((f"{word:<8}", "green" if before is None else "red"), f"{name} ({lines} lines)")
            )
            continue
        yield unified_diff(name, before, after)
        yield Text()
    yield from whole
    if whole:
        yield Text()
