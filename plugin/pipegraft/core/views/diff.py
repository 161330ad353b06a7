"""Unified diffs for people: coloured on a terminal, plain elsewhere."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from rich.text import Text

__all__ = ["unified_diff"]

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
