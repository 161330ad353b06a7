"""Terminals for tables and colours: what strangers wrote is shown there, not obeyed."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.control import Control
from rich.segment import Segment

from pipegraft.core.views.terminal import safe

__all__ = ["Shown", "open_console"]


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
