"""Adding entries to collections in brackets and taking them out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from yaml.events import MappingStartEvent, ScalarEvent

from pipegraft.text.yaml import scalars
from pipegraft.text.yaml.changes import Change, Replaced, Value, wanted
from pipegraft.text.yaml.layout import (
    content_end,
    content_start,
    is_flow,
    line_break_near,
    line_end,
    line_start,
    next_line,
    skip_filler,
)
from pipegraft.text.yaml.locate import Step
from pipegraft.text.yaml.render import as_flow
from pipegraft.text.yaml.source import Node, Source

__all__ = ["append_pair", "colon_behind", "insert_flow_item", "is_json", "remove_from_flow"]

_COLON = re.compile("(?:[ \t\r\n\x85\u2028\u2029]|(?<=[ \t\r\n])#[^\r\n]*+)*+:")
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


def colon_behind(source: Source, key: Node, limit: int) -> int | None:
    """Behind the colon that follows a key; None if there is none."""
    found = _COLON.match(source.text, source.end(source.closing[key] - 1), limit)
    return found.end() if found else None


def is_json(source: Source, node: Node) -> bool:
    """Whether a node stands in brackets that hold JSON, with strings in it, and has to stay JSON."""
    outer = next((one for one in (*source.enclosing(node), node) if is_flow(source, one)), None)
    if outer is None:
        return False
    written = source.text[content_start(source, outer) : source.end(source.closing[outer] - 1)]
    try:
        return '"' in written and json.loads(written) is not None
    except ValueError:
        return False


def append_pair(source: Source, mapping: Node, key: str, value: Value) -> Change | None:
    """Plan a new last entry of a mapping in braces; None where it has none: ``[key: value]``."""
    items = _items(source, mapping)
    if items is None:
        return None
    pairs = source.entries(mapping)
    quoted = is_json(source, mapping)
    tight = quoted and bool(pairs) and _is_tight(source, pairs[-1])
    written = scalars.write(key, flow=True, json_like=quoted) + (":" if tight else ": ")
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
