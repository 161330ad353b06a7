"""Where the parts of a block stand in the text: lines, comments, indentation, the end of an entry."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from yaml.events import CollectionEndEvent, ScalarEvent

from pipegraft.text.yaml.source import LINE_BREAK, Node, Source

__all__ = [
    "BlockScalar",
    "block_scalar",
    "colon_behind",
    "column_of",
    "content_end",
    "content_start",
    "entry_start",
    "entry_stop",
    "is_empty",
    "is_flow",
    "is_json",
    "line_break_near",
    "line_end",
    "line_start",
    "next_line",
    "skip_filler",
    "without_break",
]

_BREAKS = "\n\r\x85\u2028\u2029"
_COLON = re.compile("(?:[ \t\r\n\x85\u2028\u2029]|(?<=[ \t\r\n])#[^\r\n]*+)*+:")
_FILLER = re.compile("(?:[ \t\ufeff]|\r\n|[\n\r\x85\u2028\u2029]|#[^\n\r\x85\u2028\u2029]*)*")
_PROPERTY = re.compile(r"&[0-9A-Za-z_-]+|!<[^>]*>|![0-9A-Za-z_;/?:@&=+$.~*'()%!-]*")
_COMMENT_LINE = re.compile("([ \t]*)(#[^\n\r\x85\u2028\u2029]*)?(\r\n|[\n\r\x85\u2028\u2029]|$)")
_HEADER = re.compile(r"([|>])([-+]?)([1-9]?)([-+]?)")


def next_line(text: str, position: int) -> int:
    """Where the next line starts; the end of the text in the last line."""
    found = LINE_BREAK.search(text, position)
    return found.end() if found else len(text)


def line_end(text: str, position: int) -> int:
    """Where the line's break stands; the end of the text in the last line."""
    found = LINE_BREAK.search(text, position)
    return found.start() if found else len(text)


def line_start(text: str, position: int) -> int:
    """Where the line that holds a position starts."""
    while position and text[position - 1] not in _BREAKS:
        position -= 1
    return position


def without_break(text: str, position: int) -> int:
    """The position before the line break that ends there, if one does."""
    if text[max(0, position - 2) : position] == "\r\n":
        return position - 2
    return position - 1 if position and text[position - 1] in _BREAKS else position


def line_break_near(text: str, position: int) -> str:
    """The line break in use around a position: the last one before it, else the first one, else a newline."""
    newline = text.rfind("\n", 0, position)
    if newline >= 0:
        return "\r\n" if text[newline - 1 : newline] == "\r" else "\n"
    found = LINE_BREAK.search(text)
    return found[0] if found else "\n"


def skip_filler(text: str, position: int) -> int:
    """The first character at or after a position that is neither white space nor comment."""
    found = _FILLER.match(text, position)
    return found.end() if found else position


def content_start(source: Source, node: Node) -> int:
    """Where a node starts behind its anchor and tag."""
    text, at = source.text, source.start(node)
    end = source.end(node) if source.closing[node] == node + 1 else len(text)
    while found := _PROPERTY.match(text, at):
        at = found.end()
        if at < end:
            at = min(end, skip_filler(text, at))
    return at


def is_flow(source: Source, node: Node) -> bool:
    """Whether a node is a collection in brackets."""
    return bool(getattr(source.events[node], "flow_style", False))


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


def is_empty(source: Source, node: Node) -> bool:
    """Whether a node is a value that nobody wrote, as in ``key:``."""
    event = source.events[node]
    return isinstance(event, ScalarEvent) and not event.value and not event.style


def column_of(source: Source, block: Node) -> int:
    """The column, from 0, of the entries of a block collection."""
    start = content_start(source, block)
    return start - line_start(source.text, start)


def content_end(source: Source, node: Node) -> int:
    """Behind the last character of a node; comments and blank lines that follow are not its own."""
    last = source.closing[node] - 1
    while isinstance(source.events[last], CollectionEndEvent) and source.is_bare(last):
        last -= 1
    event, end = source.events[last], source.end(last)
    if isinstance(event, ScalarEvent) and event.style in {"|", ">"}:
        parts = block_scalar(source, last)
        return parts.stop if parts.chomping == "+" else parts.end  # under + blank lines are text
    if isinstance(event, ScalarEvent) and source.is_bare(last):
        # Nothing stands there; behind '? key' libyaml puts the mark in a later line.
        while end and source.text[end - 1] in " \t\r\n\x85\u2028\u2029":
            end -= 1
    return end


def entry_start(source: Source, container: Node, first: Node) -> int:
    """Where an entry of a block collection starts: at its dash, its ``?`` or its key.

    Arguments:
        source: the text.
        container: the collection.
        first: the entry's key, or the item.
    """
    if first == container + 1:
        return content_start(source, container)
    before = max(child for child in source.children(container) if child < first)
    return skip_filler(source.text, content_end(source, before))


def entry_stop(source: Source, node: Node, column: int) -> int:
    """Where the lines of an entry end: the start of the first line that is not its own.

    Comment lines indented deeper than the entry are its own.

    Arguments:
        source: the text.
        node: the entry's value.
        column: the column of the collection's entries.
    """
    text = source.text
    end = content_end(source, node)
    keeps = end and LINE_BREAK.fullmatch(text[end - 1 : end])
    stop = at = end if keeps else next_line(text, end)
    while at < len(text):
        line = _COMMENT_LINE.match(text, at)
        if not line or (line[2] and len(line[1]) <= column):
            break
        at = line.end()
        if line[2]:
            stop = at
    return stop


@dataclass(frozen=True, slots=True)
class BlockScalar:
    """The parts of a literal (``|``) or folded (``>``) scalar.

    Arguments:
        start: where its header starts.
        body: where the line behind its header starts.
        end: behind its last line with text in it, before that line's break.
        stop: behind all that libyaml takes for it: the line break, and blank lines.
        style: ``|`` or ``>``.
        chomping: ``-``, ``+`` or empty.
        digit: the indentation given in the header, or empty.
        comment: what follows in the header's line.
        indent: the indentation of the body, None where the body is empty.
    """

    start: int
    body: int
    end: int
    stop: int
    style: str
    chomping: str
    digit: str
    comment: str
    indent: int | None


def block_scalar(source: Source, node: Node) -> BlockScalar:
    """Take a literal or folded scalar apart."""
    text = source.text
    start, stop = content_start(source, node), source.end(node)
    header = _HEADER.match(text, start)
    assert header  # noqa: S101 - libyaml has read it
    first = min(stop, next_line(text, start))
    comment = text[header.end() : line_end(text, header.end())]
    chomping = header[2] or header[4]
    lines = _lines(text, first, stop)
    indent = next((len(line) - len(line.lstrip(" ")) for _, line in lines if line.strip(" ")), None)
    if header[3]:
        outer = source.enclosing(node)
        indent = int(header[3]) + (column_of(source, outer[-1]) if outer else 0)
    end = _body_end(lines, indent, line_end(text, header.end()))
    return BlockScalar(start, first, end, stop, header[1], chomping, header[3], comment, indent)


def _lines(text: str, start: int, stop: int) -> list[tuple[int, str]]:
    lines, at = [], start
    while at < stop:
        end = min(stop, line_end(text, at))
        lines.append((at, text[at:end]))
        at = next_line(text, at)
    return lines


def _body_end(lines: list[tuple[int, str]], indent: int | None, header_end: int) -> int:
    for start, line in reversed(lines):
        if line.strip(" ") or (indent is not None and len(line) > indent):
            return start + len(line)
    return header_end
