"""Adding entries to collections and taking them out: by whole lines of a block, or inside brackets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from yaml.events import (
    DocumentEndEvent,
    DocumentStartEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from pipegraft.text.yaml.changes import Change, Replaced, Wanted, wanted
from pipegraft.text.yaml.layout import (
    block_scalar,
    colon_behind,
    column_of,
    content_end,
    content_start,
    entry_start,
    entry_stop,
    is_json,
    line_break_near,
    line_end,
    line_start,
    next_line,
    skip_filler,
    without_break,
)
from pipegraft.text.yaml.paths import Step
from pipegraft.text.yaml.source import LINE_BREAK, Node, Source
from pipegraft.text.yaml.values import Style, Value, as_flow, entry_lines, item_lines, write_scalar

__all__ = [
    "append_entry",
    "append_pair",
    "cut_lines",
    "insert_flow_item",
    "insert_item",
    "lines_at",
    "remove_entry",
    "remove_from_flow",
    "style_at",
]

_BLANK_LINES = re.compile("(?:[ \t]*(?:\r\n|[\n\r\x85\u2028\u2029]))*")
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
    text, dash = source.text, content_start(source, sequence)
    line = dash - column
    if text[line:dash].strip(" "):  # a sequence inside a sequence: '- - item'
        line_break = line_break_near(text, line)
        moved = line_break.join((lines[0].lstrip(" "), *lines[1:]))
        return Replaced(dash, dash, f"{moved}{line_break}{' ' * column}")
    above = sequence - 1
    if not isinstance(source.events[above], DocumentStartEvent):
        comment = " " * column + "#"
        while line and text.startswith(comment, start := line_start(text, without_break(text, line))):
            line = start
    return lines_at(source, line, lines)


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
    start = entry_start(source, container, first)
    stop = entry_stop(source, step.value, column)
    behind = source.closing[step.value]
    only = first == container + 1 and behind == source.closing[container] - 1
    line = start - column
    if not text[line:start].strip(" "):
        cut = cut_lines(source, first, line, stop)
    elif only:
        content, end = content_end(source, step.value), without_break(text, stop)
        if not text[content:end].strip(" \t"):
            end = min(content, end)
        cut = Replaced(len(text[:start].rstrip(" \t")), end, "")
    else:  # the first of several entries on its parent's dash line: the next one moves up
        upper = _BLANK.match(text, stop)
        cut = Replaced(start, upper.end() if upper else stop, "")
    if only:
        return _emptied(source, container, cut)
    return Change((cut,), first, behind, ())


def cut_lines(source: Source, first: Node, line: int, stop: int) -> Replaced:
    """Cut whole lines; at the end of a file without a last line break, the one before them instead.

    Arguments:
        source: the text.
        first: the first node in these lines.
        line: where the first line starts.
        stop: where the line behind them starts.
    """
    text = source.text
    text_block = _text_block_before(source, first)
    if text_block is not None and block_scalar(source, text_block).chomping == "+":
        blank_lines = _BLANK_LINES.match(text, stop)
        stop = blank_lines.end() if blank_lines else stop  # that block would take them for its own
    ends_in_break = stop < len(text) or without_break(text, stop) < stop
    if ends_in_break or text_block is not None:
        return Replaced(line, stop, "")
    return Replaced(without_break(text, line), stop, "")


def _emptied(source: Source, container: Node, cut: Replaced) -> Change:
    event, last = source.events[container], source.closing[container]
    start, end = source.events[container - 1], source.events[last]
    if isinstance(start, DocumentStartEvent) and not start.explicit and isinstance(end, DocumentEndEvent):
        if end.explicit or len(source.documents) > 1:
            raise source.refusal(
                container,
                "nothing would be left of the document, and it has no '---' to stand for it",
                "write '---' in front of the document",
            )
        return Change((cut,), container - 1, last + 1, ())
    return Change((cut,), container, last, (Wanted(ScalarEvent, None, event.anchor, event.tag),))


def style_at(source: Source, container: Node, position: int) -> Style:
    """How to write new lines in a collection, at a position: indented as its entries, or else as the text.

    Nothing is written under ``|`` at the end of a file without a last line break, which would count it, and
    before lines of blanks, which could count as its own.
    """
    found: dict[type, int] = {}
    for nodes in (range(container, source.closing[container]), range(len(source.events))):
        for kind, offset in _indentations(source, nodes):
            found.setdefault(kind, offset)
            if len(found) == 2:
                break
    blank_lines = _BLANK_LINES.match(source.text, position)
    blanks = blank_lines is not None and not {" ", "\t"}.isdisjoint(blank_lines[0])
    literal = not blanks and not _is_open_end(source.text, position)
    return Style(found.get(MappingStartEvent, 2), found.get(SequenceStartEvent, 2), literal)


def _indentations(source: Source, nodes: Iterable[Node]) -> Iterator[tuple[type, int]]:
    """How far block collections are indented in the block mappings among some nodes, by their kind."""
    for node in nodes:
        event = source.events[node]
        if isinstance(event, MappingStartEvent) and not event.flow_style:
            for _, value in source.entries(node):
                if not getattr(source.events[value], "flow_style", True):
                    yield type(source.events[value]), column_of(source, value) - column_of(source, node)


_SEPARATOR = re.compile("[ \t\r\n\x85\u2028\u2029]*,[ \t\r\n\x85\u2028\u2029]*")
_REST_OF_LINE = re.compile("[ \t]*,?[ \t]*(?:#[^\r\n\x85\u2028\u2029]*)?(?=\r|\n|\x85|\u2028|\u2029)")
_BLANKS = re.compile("[ \t]*")


@dataclass(frozen=True, slots=True)
class _Item:
    """An entry in brackets: its line, its text, the comma behind it, whether it has lines of its own."""

    line: int
    start: int
    end: int
    comma: int | None
    own_lines: bool


def append_pair(source: Source, mapping: Node, key: str, value: Value) -> Change | None:
    """Plan a new last entry of a mapping in braces; None where it has none: ``[key: value]``."""
    items = _items(source, mapping)
    if items is None:
        return None
    pairs = source.entries(mapping)
    quoted = is_json(source, mapping)
    tight = quoted and bool(pairs) and _is_tight(source, pairs[-1])
    written = write_scalar(key, flow=True, json_like=quoted) + (":" if tight else ": ")
    written += as_flow(value, json_like=quoted, tight=tight)
    at = source.closing[mapping] - 1
    texts = _appended(source, mapping, items, written, tight=tight)
    return Change(texts, at, at, (*wanted(key), *wanted(value)))


def insert_flow_item(source: Source, sequence: Node, index: int, value: Value) -> Change | None:
    """Plan a new item of a sequence in brackets."""
    items = _items(source, sequence)
    if items is None:
        return None
    nodes = source.children(sequence)
    quoted = is_json(source, sequence)
    tight = len(items) > 1 and source.text[items[-2].end : items[-1].start] == ","
    written = as_flow(value, json_like=quoted, tight=quoted and tight)
    made = tuple(wanted(value))
    if index == len(items):
        at = source.closing[sequence] - 1
        return Change(_appended(source, sequence, items, written, tight=tight), at, at, made)
    item = items[index]
    if item.own_lines:
        written += f",{line_break_near(source.text, item.line)}{source.text[item.line : item.start]}"
    else:
        written += "," if tight else ", "
    return Change((Replaced(item.start, item.start, written),), nodes[index], nodes[index], made)


def remove_from_flow(source: Source, step: Step) -> Change | None:
    """Plan the removal of an entry of a collection in brackets."""
    items = _items(source, step.container)
    if items is None:
        return None
    first = step.value if step.key is None else step.key
    nodes = source.children(step.container)
    index = nodes.index(first) // (1 if step.key is None else 2)
    texts = _removed(source, step.container, items, index)
    return Change(texts, first, source.closing[step.value], ())


def _items(source: Source, container: Node) -> list[_Item] | None:
    text, opening = source.text, content_start(source, container)
    if text[opening] not in "[{":
        return None
    mapping = isinstance(source.events[container], MappingStartEvent)
    pairs = source.entries(container) if mapping else [(node, node) for node in source.children(container)]
    items, at = [], opening + 1
    for key, value in pairs:
        start = skip_filler(text, at)
        end = _end_of(source, key, value)
        behind = skip_filler(text, end)
        comma = behind if text[behind] == "," else None
        line = source.line_start(key)
        own = line <= start and not text[line:start].strip(" \t")
        items.append(_Item(line, start, end, comma, own and _REST_OF_LINE.match(text, end) is not None))
        at = end if comma is None else comma + 1
    return items


def _end_of(source: Source, key: Node, value: Node) -> int:
    event = source.events[value]
    if key == value or not isinstance(event, ScalarEvent) or not source.is_bare(value):
        return content_end(source, value)
    colon = colon_behind(source, key, source.end(value))
    if colon is None:
        return source.end(source.closing[key] - 1)
    # The blank belongs to it: 'key:,' would not be a key.
    return colon + 1 if source.text[colon] in " \t" else colon


def _is_tight(source: Source, pair: tuple[Node, Node]) -> bool:
    key, value = pair
    return source.start(value) == source.end(source.closing[key] - 1) + 1


def _appended(
    source: Source, container: Node, items: list[_Item], written: str, *, tight: bool
) -> tuple[Replaced, ...]:
    text, opening = source.text, content_start(source, container)
    if not items:
        return (Replaced(opening + 1, opening + 1, _first_lead(source, opening) + written),)
    last = items[-1]
    if last.own_lines:
        line = line_end(text, last.end if last.comma is None else last.comma)
        new = line_break_near(text, next_line(text, line)) + text[last.line : last.start] + written
        if last.comma is None:
            return (Replaced(last.end, last.end, ","), Replaced(line, line, new))
        return (Replaced(line, line, f"{new},"),)
    space = "" if tight else " "
    if last.comma is not None:
        return (Replaced(last.comma + 1, last.comma + 1, f"{space}{written},"),)
    return (Replaced(last.end, last.end, f",{space}{written}"),)


def _first_lead(source: Source, opening: int) -> str:
    """What stands between an opening bracket and a first entry: what stood before the closing one."""
    blanks = _BLANKS.match(source.text, opening + 1)
    assert blanks  # noqa: S101 - the pattern matches the empty string
    if source.text[blanks.end()] in "]}":
        return blanks[0]
    start = line_start(source.text, opening)
    indent = _BLANKS.match(source.text, start)
    assert indent  # noqa: S101 - as above
    return f"{line_break_near(source.text, start)}{indent[0]}  "


def _removed(source: Source, container: Node, items: list[_Item], index: int) -> tuple[Replaced, ...]:
    text, item = source.text, items[index]
    if len(items) == 1:
        opening = content_start(source, container) + 1
        start = item.start if text[opening : item.start].strip(" \t\r\n") else opening
        cut = [Replaced(start, item.end, "")]
        return (*cut, *_comma_cut(item))
    before = items[index - 1] if index else None
    if item.own_lines:
        lines = Replaced(item.line, next_line(text, item.comma or item.end), "")
        orphaned = before if index == len(items) - 1 and item.comma is None else None
        return (*(_comma_cut(orphaned) if orphaned else ()), lines)
    if index < len(items) - 1:
        between = _SEPARATOR.fullmatch(text, item.end, items[index + 1].start)
        end = between.end() if between else (item.comma or item.end) + 1
        return (Replaced(item.start, end, ""),)
    assert before  # noqa: S101 - the last of several has one before it
    if before.comma is not None and item.comma is not None and "#" not in text[before.comma : item.start]:
        return (Replaced(before.comma + 1, item.comma + 1, ""),)
    if _SEPARATOR.fullmatch(text, before.end, item.start):
        return (Replaced(before.end, item.end, ""),)
    return (*_comma_cut(before), Replaced(item.start, item.end, ""))


def _comma_cut(item: _Item) -> tuple[Replaced, ...]:
    return () if item.comma is None else (Replaced(item.comma, item.comma + 1, ""),)
