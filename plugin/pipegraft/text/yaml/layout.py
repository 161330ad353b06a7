"""Where the parts of a block stand in the text: lines, comments, indentation, the end of an entry."""

from __future__ import annotations

import re
from dataclasses import dataclass

from yaml.events import CollectionEndEvent, MappingStartEvent, ScalarEvent, SequenceStartEvent

from pipegraft.text.yaml.source import LINE_BREAK, Node, Source

__all__ = [
    "BlockScalar",
    "block_scalar",
    "column_of",
    "content_end",
    "content_start",
    "entry_start",
    "entry_stop",
    "is_empty",
    "is_flow",
    "line_break_near",
    "line_end",
    "next_line",
    "skip_filler",
]

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


def is_empty(source: Source, node: Node) -> bool:
    """Whether a node is a value that nobody wrote, as in ``key:``."""
    event = source.events[node]
    return isinstance(event, ScalarEvent) and not event.value and not event.style


def column_of(source: Source, block: Node) -> int:
    """The column, from 0, of the entries of a block collection."""
    start = content_start(source, block)
    mark = source.events[block].start_mark
    if start == mark.index:
        return int(mark.column)
    line = max((found.end() for found in LINE_BREAK.finditer(source.text, mark.index, start)), default=-1)
    return start - line if line >= 0 else int(mark.column) + start - int(mark.index)


def content_end(source: Source, node: Node) -> int:
    """Behind the last character of a node; comments and blank lines that follow are not its own."""
    last = source.closing[node] - 1
    while isinstance(source.events[last], CollectionEndEvent) and source.is_bare(last):
        last -= 1
    event = source.events[last]
    if isinstance(event, ScalarEvent) and event.style in {"|", ">"}:
        parts = block_scalar(source, last)
        return parts.stop if parts.chomping == "+" else parts.end  # under + blank lines are text
    if isinstance(event, ScalarEvent) and source.is_bare(last):
        # Nothing stands there; behind '? key' libyaml puts the mark in a later line.
        return len(source.text[: source.end(last)].rstrip(" \t\r\n\x85\u2028\u2029"))
    return source.end(last)


def entry_start(source: Source, previous: Node | None, container: Node) -> int:
    """Where an entry of a block collection starts: at its dash, its ``?`` or its key.

    Arguments:
        source: the text.
        previous: the node before it in the container (a value or an item); None for the first entry.
        container: the collection.
    """
    if previous is None:
        return content_start(source, container)
    return skip_filler(source.text, content_end(source, previous))


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
        indent = _given_indent(source, node, int(header[3]))
    end = _body_end(lines, indent, line_end(text, header.end()))
    return BlockScalar(start, first, end, stop, header[1], chomping, header[3], comment, indent)


def _given_indent(source: Source, node: Node, digit: int) -> int:
    container = next(
        (
            outer
            for outer in range(node - 1, -1, -1)
            if source.closing[outer] > node
            and isinstance(source.events[outer], MappingStartEvent | SequenceStartEvent)
        ),
        None,
    )
    return digit if container is None else column_of(source, container) + digit


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
