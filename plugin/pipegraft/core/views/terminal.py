"""The one way to a terminal: what strangers wrote is shown, not obeyed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TextIO

import click
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.control import Control
from rich.segment import Segment

from pipegraft.core.foreign_text import printable, redacted

__all__ = ["Shown", "echo", "open_console", "write_data", "write_line"]


class Shown:
    """A renderable whose text commands no terminal; colours that we chose stay.

    Arguments:
        inner: what is rendered.
    """

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._inner, options):
            yield segment if segment.control else Segment(_safe(segment.text), segment.style)


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


def echo(text: str, *, err: bool = False) -> None:
    """Lines for people."""
    click.echo(_safe(text), err=err)


def write_line(stream: TextIO, text: str) -> None:
    """One line of a log; a line end in it begins no line that looks like another."""
    stream.write(_safe(text).replace("\n", "\n    ") + "\n")
    stream.flush()


def _safe(text: str) -> str:
    return printable(redacted(text))


def write_data(text: str) -> None:
    """Data for other programs on standard output, byte for byte; printable where a person looks."""
    click.echo(printable(text) if sys.stdout.isatty() else text, nl=False)
