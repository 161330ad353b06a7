"""Terminals for tables, differences and progress: what strangers wrote is shown there, not obeyed.

Off a terminal the same are plain lines.
"""

from __future__ import annotations

import difflib
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self, TextIO

from rich.console import (
    Console,
    ConsoleOptions,
    ConsoleRenderable,
    Group,
    RenderableType,
    RenderHook,
    RenderResult,
)
from rich.control import Control
from rich.live import Live
from rich.segment import Segment
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipegraft.core.foreign_text import safe, write_line
from pipegraft.core.ports import Event, Progress

__all__ = [
    "LiveProgress",
    "PlainProgress",
    "Shown",
    "open_console",
    "open_progress",
    "resource_table",
    "shown",
    "unified_diff",
]


class Shown:
    """A renderable whose text commands no terminal; colours that we chose stay.

    Arguments:
        inner: what is rendered.
    """

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._inner, options):
            yield segment if segment.control else Segment(safe(segment.text), segment.style)


class _Hook(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return list(_shown(renderables))


def _shown(renderables: list[ConsoleRenderable]) -> Iterator[ConsoleRenderable]:
    for one in renderables:
        yield one if isinstance(one, (Control, Shown)) else Shown(one)


def open_console(*, stderr: bool = False, highlight: bool = False, soft_wrap: bool = False) -> Console:
    """A terminal, or the file that stands in its place.

    Arguments:
        stderr: standard error instead of standard output.
        highlight: whether numbers and paths get colours.
        soft_wrap: whether long lines are left to the terminal.
    """
    made = Console(stderr=stderr, highlight=highlight, soft_wrap=soft_wrap)
    made.push_render_hook(_Hook())
    return made


_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def unified_diff(name: str, before: str | None, after: str | None) -> Text:
    """What changes in one file.

    Line ends and a byte-order mark are not shown; `git diff` shows them.

    Arguments:
        name: its path.
        before: its text, None if it is new.
        after: its text, None if it goes.
    """
    lines = difflib.unified_diff(
        _lines(before),
        _lines(after),
        "/dev/null" if before is None else f"a/{name}",
        "/dev/null" if after is None else f"b/{name}",
        lineterm="",
    )
    return Text("\n").join(_coloured(lines))


def _lines(text: str | None) -> list[str]:
    if not text:
        return []
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if lines[-1]:
        lines[-1] += "\n\\ No newline at end of file"
    else:
        lines.pop()
    return lines


def _coloured(lines: Iterator[str]) -> Iterator[Text]:
    for number, line in enumerate(lines):
        yield Text(line, "bold" if number < 2 else _STYLES.get(line[:1], ""))


_STATE_MARKS = {
    "failed": ("✘", "red"),
    "blocked": ("■", "red"),
    "suspended": ("‖", "yellow"),
    "progressing": ("○", "cyan"),
    "succeeded": ("●", "green"),
}
_MOST = 12
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_MARKS = {
    "built": ("+", "green"),
    "failed": ("✘", "red"),
    "commit": ("◆", "cyan"),
    "verdict": ("●", "blue"),
    "judgement": ("▲", "magenta"),
    "warning": ("!", "yellow"),
}
_UNDECIDED = {"progressing", "inconclusive"}


def resource_table(rows: Sequence[Mapping[str, str]]) -> Table:
    """The table.

    Arguments:
        rows: ``name``, ``state`` and ``message`` of each resource.
    """
    order = list(_STATE_MARKS)
    sorted_rows = sorted(rows, key=lambda row: order.index(row["state"]))
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="ellipsis", no_wrap=True)
    for row in sorted_rows[:_MOST]:
        mark, style = _STATE_MARKS[row["state"]]
        kind, _, name = row["name"].rpartition(" ")
        called = Text.assemble((f"{kind} ", "dim"), (name, "bold"))
        table.add_row(Text(f"      {mark}", style=style), called, Text(row["message"], style="dim"))
    left = len(sorted_rows) - _MOST
    if left > 0:
        well = sum(row["state"] == "succeeded" for row in sorted_rows)
        table.add_row("", Text(f"and {left} more; {well} of {len(sorted_rows)} are well", style="dim"), "")
    return table


def shown(subject: str) -> str:
    """A commit's name as people read it; anything else as it is."""
    return subject[:12] if _COMMIT.fullmatch(subject) else subject


class LiveProgress:
    """Finished lines scroll up; below them the stage that runs, a line for each subject of it.

    Arguments:
        console: the terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._stage = ""
        self._summary = ""
        self._subjects: dict[str, str] = {}
        self._resources: Sequence[Mapping[str, str]] = ()
        self._tables: dict[str, Mapping[str, Sequence[Any]]] = {}
        self._live = Live(Shown(self._picture()), console=console, transient=True, refresh_per_second=12)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stage = ""
        self._live.update(Shown(self._picture()))
        self._live.stop()

    def emit(self, event: Event) -> None:
        with self._lock:
            if event.kind == "verdict":
                self._resources = event.data.get("resources", ())
            if "table" in event.data:
                self._tables[event.subject] = event.data["table"]
            if event.kind == "started":
                self._stage, self._summary, self._subjects = event.subject, event.message, {}
            elif event.kind == "finished":
                self._finish(event)
            elif event.kind == "progress" or _UNDECIDED & {event.data.get("state"), event.data.get("answer")}:
                self._subjects[shown(event.subject)] = event.message
            else:
                self._subjects.pop(shown(event.subject), None)
                self._print("  ", *_MARKS.get(event.kind, ("·", "dim")), shown(event.subject), event.message)
            self._live.update(Shown(self._picture()))

    def _finish(self, event: Event) -> None:
        good = bool(event.data.get("ok"))
        mark, style = ("✔", "bold green") if good else ("✘", "bold red")
        detail = "" if event.message == "done" else f"  {event.message}"
        self._print(
            "",
            mark,
            style,
            event.subject,
            Text.assemble((f"{event.data.get('seconds', 0):.1f} s", "dim"), detail),
        )
        self._stage, self._subjects, self._resources, self._tables = "", {}, (), {}

    def _print(self, indent: str, mark: str, style: str, subject: str, message: str | Text) -> None:
        """One line that stays; what is too long for it goes on below its own beginning."""
        line = Table.grid(padding=(0, 1, 0, 0))
        line.add_column(no_wrap=True)
        line.add_column(overflow="fold")
        head = Text(subject, style="bold") if subject else Text()
        line.add_row(Text(indent + mark, style=style), Text.assemble(head, "  " if subject else "", message))
        self._console.print(line)

    def _picture(self) -> RenderableType:
        if not self._stage:
            return Text("")
        head = Spinner("dots", Text.assemble((self._stage, "bold"), f"  {self._summary}"), style="cyan")
        width = max((len(subject) for subject in self._subjects), default=0)
        lines = [
            Text.assemble(("    " + subject.ljust(width), "bold"), "  ", (message, "dim"))
            for subject, message in list(self._subjects.items())[-12:]
        ]
        resources = [resource_table(self._resources)] if self._resources else []
        return Group(head, *lines, *resources, *map(_table, self._tables.values()))


def _table(table: Mapping[str, Sequence[Any]]) -> Table:
    """Columns and rows of text, as an event brings them."""
    drawn = Table(*table["columns"], box=None, padding=(0, 2, 0, 4), header_style="dim")
    for row in table["rows"]:
        drawn.add_row(*row)
    return drawn


class PlainProgress:
    """One line an event, for logs.

    Arguments:
        stream: where to; standard error if None, so that data on standard output stays clean.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()
        self._stage = ""
        self._last: dict[str, str] = {}

    def emit(self, event: Event) -> None:
        with self._lock:
            line = self._line(event)
            if line:
                write_line(self._stream, line)

    def _line(self, event: Event) -> str:
        if event.kind == "started":
            self._stage = event.subject
            return f"[{self._stage}] {event.message}"
        if event.kind == "finished":
            word = "done" if event.data.get("ok") else "failed"
            detail = "" if event.message == "done" else f": {event.message}"
            return f"[{event.subject}] {word} in {event.data.get('seconds', 0):.1f} s{detail}"
        if event.kind in {"progress", "verdict"} and self._last.get(event.subject) == event.message:
            return ""  # a log needs no heartbeat
        self._last[event.subject] = event.message
        subject = f"{shown(event.subject)}: " if event.subject else ""
        warning = "warning: " if event.kind == "warning" else ""
        stage = f"[{self._stage}] " if self._stage else ""  # none while many are released with one push
        return f"{stage}{warning}{subject}{event.message}"


@contextmanager
def open_progress() -> Iterator[Progress]:
    """What suits standard error: live on a terminal, plain lines otherwise."""
    if sys.stderr.isatty():
        console = open_console(stderr=True, highlight=True)
        if console.is_terminal and not console.is_dumb_terminal:
            with LiveProgress(console) as live:
                yield live
            return
    yield PlainProgress()
