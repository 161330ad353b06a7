"""Adding entries to block collections and taking them out, by whole lines."""

from __future__ import annotations

import re
from collections.abc import Sequence

from yaml.events import (
    DocumentEndEvent,
    DocumentStartEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from pipegraft.text.yaml.changes import Change, Replaced, Value, Wanted, wanted
from pipegraft.text.yaml.layout import (
    block_scalar,
    column_of,
    content_end,
    entry_start,
    entry_stop,
    is_empty,
    line_break_near,
    line_end,
)
from pipegraft.text.yaml.locate import Step
from pipegraft.text.yaml.render import Style, entry_lines, item_lines
from pipegraft.text.yaml.source import LINE_BREAK, Node, Source

__all__ = ["append_entry", "insert_item", "lines_at", "remove_entry", "style_at"]

_BLANK = re.compile("[ \t\r\n\x85\u2028\u2029]*")


def append_entry(source: Source, mapping: Node, key: str, value: Value) -> Change:
    """Plan a new last entry of a block mapping.

    Arguments:
        source: the text.
        mapping: a block mapping without the key.
        key: the new key.
        value: its value.
    """
    column = column_of(source, mapping)
    stop = entry_stop(source, source.children(mapping)[-1], column)
    lines = entry_lines(key, value, column, style_at(source, mapping, stop))
    at = source.closing[mapping] - 1
    return Change((lines_at(source, stop, lines),), at, at, (*wanted(key), *wanted(value)))


def insert_item(source: Source, sequence: Node, index: int, value: Value) -> Change:
    """Plan a new item of a block sequence.

    Arguments:
        source: the text.
        sequence: a block sequence.
        index: where, from 0 to the number of items.
        value: the item.
    """
    items = source.children(sequence)
    column = column_of(source, sequence)
    at = items[index] if index < len(items) else source.closing[sequence] - 1
    if index:
        stop = entry_stop(source, items[index - 1], column)
        text = lines_at(source, stop, item_lines(value, column, style_at(source, sequence, stop)))
    else:
        lines = item_lines(value, column, style_at(source, sequence, 0))
        text = _before_first(source, sequence, column, lines)
    return Change((text,), at, at, tuple(wanted(value)))


def _before_first(source: Source, sequence: Node, column: int, lines: Sequence[str]) -> Replaced:
    """In front of the first dash, and of the comments right above it, which belong to the first item."""
    text, dash = source.text, entry_start(source, None, sequence)
    line = dash - column
    if text[line:dash].strip(" "):  # a sequence inside a sequence: '- - item'
        line_break = line_break_near(text, line)
        moved = line_break.join((lines[0].lstrip(" "), *lines[1:]))
        return Replaced(dash, dash, f"{moved}{line_break}{' ' * column}")
    above = sequence - 1
    if not isinstance(source.events[above], DocumentStartEvent):
        comment = " " * column + "#"
        while line and text.startswith(comment, start := _line_before(text, line)):
            line = start
    return lines_at(source, line, lines)


def _line_before(text: str, line: int) -> int:
    return max((found.end() for found in LINE_BREAK.finditer(text, 0, line - 1)), default=0)


def lines_at(source: Source, position: int, lines: Sequence[str]) -> Replaced:
    """New whole lines at the start of a line, or behind a last line that has no line break."""
    line_break = line_break_near(source.text, position)
    joined = line_break.join(lines)
    if _is_open_end(source.text, position):
        _check_open_end(source)
        return Replaced(position, position, line_break + joined)
    return Replaced(position, position, joined + line_break)


def _is_open_end(text: str, position: int) -> bool:
    return position > 0 and not LINE_BREAK.fullmatch(text[position - 1])


def _check_open_end(source: Source) -> None:
    """Refuse to add a line break that a literal scalar at the end of the file would take for its own."""
    text_block = _text_block_before(source, len(source.events))
    if text_block is not None:
        raise source.refusal(
            text_block,
            "the file ends inside this text block without a line break, and a line behind it would change it",
            "add a line break at the end of the file",
        )


def _text_block_before(source: Source, node: Node) -> Node | None:
    """The scalar before a node, if it is a literal or folded one to which its last line break counts."""
    for before in range(node - 1, 0, -1):
        event = source.events[before]
        if isinstance(event, ScalarEvent):
            counts = event.style in {"|", ">"} and block_scalar(source, before).chomping != "-"
            return before if counts else None
    return None


def remove_entry(source: Source, step: Step) -> Change:
    """Plan the removal of an entry of a block collection, with its own lines.

    A collection that loses its only entry becomes an empty value.

    Arguments:
        source: the text.
        step: the entry.
    """
    text, container = source.text, step.container
    column = column_of(source, container)
    first = step.value if step.key is None else step.key
    before = _sibling_before(source, container, first)
    start = entry_start(source, before, container)
    stop = entry_stop(source, step.value, column)
    behind = source.closing[step.value]
    only = before is None and behind == source.closing[container] - 1
    line = start - column
    if not text[line:start].strip(" "):
        cut = _lines_cut(source, first, line, stop)
    elif only:
        end = line_end(text, content_end(source, step.value))
        cut = Replaced(len(text[:start].rstrip(" \t")), max(end, _trimmed(text, stop)), "")
    else:  # the first of several entries on its parent's dash line: the next one moves up
        upper = _BLANK.match(text, stop)
        cut = Replaced(start, upper.end() if upper else stop, "")
    if only:
        return _emptied(source, container, cut)
    return Change((cut,), first, behind, ())


def _sibling_before(source: Source, container: Node, first: Node) -> Node | None:
    before = None
    for child in source.children(container):
        if child == first:
            break
        before = child
    return before


def _trimmed(text: str, stop: int) -> int:
    if text[max(0, stop - 2) : stop] == "\r\n":
        return stop - 2
    return stop - 1 if stop and LINE_BREAK.fullmatch(text[stop - 1]) else stop


def _lines_cut(source: Source, first: Node, line: int, stop: int) -> Replaced:
    text = source.text
    whole = stop < len(text) or _trimmed(text, stop) < stop
    if whole or _text_block_before(source, first) is not None:
        return Replaced(line, stop, "")
    return Replaced(_trimmed(text, line), stop, "")


def _emptied(source: Source, container: Node, cut: Replaced) -> Change:
    event, last = source.events[container], source.closing[container]
    start, end = source.events[container - 1], source.events[last]
    if isinstance(start, DocumentStartEvent) and not start.explicit and isinstance(end, DocumentEndEvent):
        return Change((cut,), container - 1, last + 1, ())
    return Change((cut,), container, last, (Wanted(ScalarEvent, None, event.anchor, event.tag),))


def style_at(source: Source, container: Node, position: int) -> Style:
    """How to write new lines in a collection, at a position: indented as its entries, or else as the text.

    At the end of a file without a last line break nothing is written under ``|``, which would count it.
    """
    literal = not _is_open_end(source.text, position)
    step = dash = None
    inside = range(container, source.closing[container])
    for nodes in (inside, range(len(source.events))):
        for node in nodes:
            if step is not None and dash is not None:
                return Style(step, dash, literal)
            event = source.events[node]
            if not isinstance(event, MappingStartEvent) or event.flow_style:
                continue
            column = column_of(source, node)
            for _, value in source.entries(node):
                inner = source.events[value]
                if getattr(inner, "flow_style", True) or is_empty(source, value):
                    continue
                offset = column_of(source, value) - column
                if isinstance(inner, SequenceStartEvent):
                    dash = offset if dash is None else dash
                else:
                    step = offset if step is None else step
    return Style(step or 2, 2 if dash is None else dash, literal)
