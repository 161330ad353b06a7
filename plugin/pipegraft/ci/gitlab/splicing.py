"""Edits of lists in a YAML text that their own removal undoes byte for byte.

An item put into a block list is a line break and a line, inserted at the end of a line; taking an item out
removes exactly that. In a flow list it is a separator and a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from yaml.events import CollectionStartEvent, ScalarEvent

from pipegraft.text.yaml.source import LINE_BREAK, Node, Source

__all__ = [
    "Splice",
    "column_of",
    "content_end",
    "insert_items",
    "line_end",
    "line_start",
    "newline_of",
    "remove_items",
    "splice",
]


@dataclass(frozen=True, slots=True, order=True)
class Splice:
    """Characters `start` to `end` of a text become `text`."""

    start: int
    end: int
    text: str


def splice(text: str, edits: Iterable[Splice]) -> str:
    """Apply edits that do not overlap, from the end; of two at one place the one given first comes first."""
    in_order = sorted(edits, key=lambda edit: (edit.start, edit.end))
    for edit in reversed(in_order):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def newline_of(text: str, position: int) -> str:
    """The line break used around a position."""
    following = LINE_BREAK.search(text, position) or LINE_BREAK.search(text)
    return following[0] if following else "\n"


def line_start(text: str, position: int) -> int:
    """Index of the first character of the line that holds a position."""
    before = [found.end() for found in LINE_BREAK.finditer(text, 0, position)]
    return before[-1] if before else 0


def line_end(text: str, position: int) -> int:
    """Index behind the last character of the line that holds a position."""
    following = LINE_BREAK.search(text, position)
    return following.start() if following else len(text)


def column_of(source: Source, node: Node) -> int:
    """How many characters stand before a node on its line."""
    start = source.start(node)
    return start - line_start(source.text, start)


def content_end(source: Source, node: Node) -> int:
    """Index behind the last character of a node, without the comments and blank lines that follow it."""
    event = source.events[node]
    if isinstance(event, CollectionStartEvent):
        children = source.children(node)
        if not event.flow_style and children:
            return content_end(source, children[-1])
        return int(source.events[source.closing[node] - 1].end_mark.index)
    end = int(event.end_mark.index)
    if isinstance(event, ScalarEvent) and event.style in ("|", ">"):
        return source.start(node) + len(source.text[source.start(node) : end].rstrip())
    return end


def insert_items(source: Source, sequence: Node, index: int, items: list[str]) -> Splice:
    """Put items into a list.

    Arguments:
        source: the text.
        sequence: the list; an empty one must be in flow style.
        index: how many of its items stay before the new ones.
        items: the new ones, each written on one line.
    """
    event = source.events[sequence]
    assert isinstance(event, CollectionStartEvent)  # noqa: S101 - the caller looked
    if event.flow_style:
        return _insert_flow(source, sequence, index, items)
    children = source.children(sequence)
    text = source.text
    if index:
        at = line_end(text, content_end(source, children[index - 1]))
    else:
        first = line_start(text, source.start(sequence))
        at = first - len(_break_before(text, first))
    lead = newline_of(text, at) + " " * column_of(source, sequence) + "- "
    return Splice(at, at, "".join(lead + item for item in items))


def _insert_flow(source: Source, sequence: Node, index: int, items: list[str]) -> Splice:
    children = source.children(sequence)
    if not children:
        at = source.text.index("[", source.start(sequence)) + 1
        return Splice(at, at, ", ".join(items))
    separator = _separator(source, sequence, children)
    if index:
        at = content_end(source, children[index - 1])
        return Splice(at, at, "".join(separator + item for item in items))
    at = source.start(children[0])
    return Splice(at, at, "".join(item + separator for item in items))


def _separator(source: Source, sequence: Node, children: list[Node]) -> str:
    """What the list itself writes between two items."""
    if len(children) > 1:
        gap = source.text[content_end(source, children[0]) : source.start(children[1])]
    else:
        gap = (
            "," + source.text[source.text.index("[", source.start(sequence)) + 1 : source.start(children[0])]
        )
        gap = gap if LINE_BREAK.search(gap) else ", "
    breaks = LINE_BREAK.search(gap)
    if breaks:
        return "," + breaks[0] + re.split(LINE_BREAK, gap)[-1]
    return gap if gap.strip() == "," else ", "


def remove_items(source: Source, sequence: Node, indexes: Sequence[int]) -> list[Splice]:
    """Take items out of a list.

    Arguments:
        indexes: which ones, rising.
    """
    event = source.events[sequence]
    assert isinstance(event, CollectionStartEvent)  # noqa: S101 - the caller looked
    children = source.children(sequence)
    if not event.flow_style:
        return [_remove_line(source, sequence, children[index]) for index in indexes]
    leading = next((n for n, index in enumerate(indexes) if n != index), len(indexes))
    edits = [
        Splice(content_end(source, children[index - 1]), content_end(source, children[index]), "")
        for index in indexes[leading:]
    ]
    if leading:
        rest = children[leading:]
        end = source.start(rest[0]) if rest else content_end(source, children[-1])
        edits.insert(0, Splice(source.start(children[0]), end, ""))
    return edits


def _remove_line(source: Source, sequence: Node, item: Node) -> Splice:
    text = source.text
    start = line_start(text, _dash(source, sequence, item))
    return Splice(start - len(_break_before(text, start)), line_end(text, content_end(source, item)), "")


def _dash(source: Source, sequence: Node, item: Node) -> int:
    """Index of the dash of an item of a block list."""
    column = column_of(source, sequence)
    at = line_start(source.text, source.start(item))
    while source.text[at + column : at + column + 1] != "-":  # the value may begin on a later line
        at = line_start(source.text, at - 1)
    return at + column


def _break_before(text: str, position: int) -> str:
    """The line break that ends right before a position."""
    if text.endswith("\r\n", 0, position):
        return "\r\n"
    return text[position - 1 : position]
