"""A YAML text with its parse events, and positions in it.

The events come from libyaml through PyYAML's C parser; its marks count code points, so everything here
works on ``str``. A node is named by the index of its event: its scalar, its alias or its start.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    NodeEvent,
    ScalarEvent,
)

from pipegraft.core.errors import EditRefused, Place
from pipegraft.core.reading import refuse_deep

__all__ = ["LINE_BREAK", "Event", "Node", "Source", "Span", "decode", "parse", "place_in", "read_events"]

Event: TypeAlias = Any
"""An event of PyYAML; its stubs leave out the attributes."""

Node: TypeAlias = int
"""The index, in the list of events, of a scalar, an alias or the start of a collection."""

LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What ends a line for libyaml (YAML 1.1)."""

_BOM = "\ufeff"
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_TEMPLATE = re.compile(r"\{\{|\{%|<%")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text.

    Arguments:
        start: index of its first character, a byte-order mark not counted.
        end: index behind its last character.
        line: line of its first character, from 1.
        column: column of its first character, from 1.
    """

    start: int
    end: int
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Source:
    """A text that parses.

    Arguments:
        text: without its byte-order mark.
        bom: the byte-order mark, or an empty string.
        file: the name for error messages.
        events: everything libyaml says about the text.
        closing: for each event the index behind the node that starts there.
        documents: the index of each document's start event.
        anchors: the nodes that carry each anchor, in order.
    """

    text: str
    bom: str
    file: str
    events: list[Event]
    closing: list[int]
    documents: list[int]
    anchors: dict[str, list[Node]]

    def place(self, position: int) -> Place:
        """Where a character stands, for people."""
        return place_in(self.text, position, self.file)

    def span(self, start: int, end: int) -> Span:
        """A stretch of the text with its line and column."""
        place = self.place(start)
        return Span(start, end, place.line, place.column)

    def start(self, node: Node) -> int:
        """Index of the node's first character; its anchor and tag belong to it."""
        return int(self.events[node].start_mark.index)

    def line_start(self, node: Node) -> int:
        """Index of the first character of the line that a node starts in."""
        mark = self.events[node].start_mark
        return int(mark.index) - int(mark.column)

    def end(self, index: int) -> int:
        """Index behind the last character of one event, which for a collection is its bracket."""
        return int(self.events[index].end_mark.index)

    def is_bare(self, index: int) -> bool:
        """Whether no character stands for the event."""
        return self.start(index) == self.end(index)

    def children(self, node: Node) -> list[Node]:
        """The nodes directly inside a collection; keys and values alternate in a mapping."""
        children, child, end = [], node + 1, self.closing[node] - 1
        while child < end:
            children.append(child)
            child = self.closing[child]
        return children

    def entries(self, mapping: Node) -> list[tuple[Node, Node]]:
        """The keys and values of a mapping."""
        children = self.children(mapping)
        return list(zip(children[::2], children[1::2], strict=True))

    def enclosing(self, node: Node) -> list[Node]:
        """The collections that a node stands in, from the root of its document inwards."""
        outer: list[Node] = []
        at = self.documents[self.document_of(node)] + 1
        while at != node:
            outer.append(at)
            at = next(child for child in self.children(at) if node < self.closing[child])
        return outer

    def document_of(self, node: Node) -> int:
        """The number, from 0, of the document a node belongs to."""
        return bisect_right(self.documents, node) - 1

    def anchored(self, alias: Node) -> Node:
        """The node an alias stands for: the last one before it that carries the anchor.

        Raises:
            EditRefused: the document has no such anchor before the alias.
        """
        name = self.events[alias].anchor
        carriers = self.anchors.get(name, [])
        before = bisect_left(carriers, alias)
        if not before or carriers[before - 1] < self.documents[self.document_of(alias)]:
            raise self.refusal(
                alias, f"*{name} has no &{name} before it", f"define &{name}, or take the alias out"
            )
        return carriers[before - 1]

    def refusal(self, node: Node, message: str, fix: str) -> EditRefused:
        """An error about a node, for the caller to raise."""
        return EditRefused(message, place=self.place(self.start(node)), fix=fix)


def parse(text: str, file: str = "<text>") -> Source:
    """Parse a text with all its documents.

    Arguments:
        text: YAML, with or without a byte-order mark, with any line ends.
        file: its name for error messages.

    Returns:
        The text and its events.

    Raises:
        EditRefused: libyaml does not read it.
    """
    bom = _BOM if text.startswith(_BOM) else ""
    body = text[len(bom) :]
    events = read_events(body, file)
    closing = list(range(1, len(events) + 1))
    documents: list[int] = []
    opened: list[Node] = []
    for index, event in enumerate(events):
        if type(event) is ScalarEvent:
            continue
        if isinstance(event, CollectionStartEvent):
            opened.append(index)
        elif isinstance(event, CollectionEndEvent):
            closing[opened.pop()] = index + 1
        elif isinstance(event, DocumentStartEvent):
            documents.append(index)
    anchors = _anchors(events) if "&" in body else {}
    return Source(body, bom, file, events, closing, documents, anchors)


def _anchors(events: list[Event]) -> dict[str, list[Node]]:
    anchors: dict[str, list[Node]] = {}
    for index, event in enumerate(events):
        if isinstance(event, NodeEvent) and event.anchor and not isinstance(event, AliasEvent):
            anchors.setdefault(event.anchor, []).append(index)
    return anchors


def read_events(text: str, file: str = "<text>") -> list[Event]:
    """libyaml's events of a text without byte-order mark.

    Raises:
        EditRefused: libyaml does not read it.
    """
    try:
        refuse_deep(text)
        return list(iter(yaml.CSafeLoader(text).get_event, None))
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        raise _unreadable(text, file, error) from None


def place_in(text: str, position: int, file: str = "<text>") -> Place:
    """Where a character stands, line and column counted from 1."""
    starts = [found.end() for found in LINE_BREAK.finditer(text, 0, position)]
    return Place(file, len(starts) + 1, position - (starts[-1] if starts else 0) + 1)


def _unreadable(text: str, file: str, error: Exception) -> EditRefused:
    if bad := _UNPRINTABLE.search(text):
        return EditRefused(
            f"YAML allows no control characters, found U+{ord(bad[0]):04X}",
            place=place_in(text, bad.start(), file),
            fix="remove the character, or write it as an escape inside double quotes",
        )
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return EditRefused(f"this is not YAML: {error}", place=Place(file), fix="mend the file")
    place = place_in(text, error.problem_mark.index, file)
    reason = " ".join(filter(None, (error.problem, error.context)))
    if error.context_mark is not None:
        start = place_in(text, error.context_mark.index, file)
        if error.context == "while scanning a simple key":
            place = start  # the line that is no key, not the one behind it
        elif start.line != place.line:
            reason += f" that starts in line {start.line}"
    return EditRefused(f"this is not YAML: {reason}", place=place, fix=_way_out(text, reason))


def _way_out(text: str, reason: str) -> str:
    if "incompatible YAML document" in reason:
        return "let the %YAML directive say 1.1 or 1.2"
    if "could not find expected ':'" in reason and max(map(len, text.splitlines()), default=0) > 1024:
        return "shorten the key: on one line it may have 1,024 characters"
    if _TEMPLATE.search(text):
        return "edit a template through marker comments: end the line with '# pipegraft:set=NAME'"
    return "mend the file at this place"


_OTHER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def decode(data: bytes, file: str = "<text>") -> str:
    """Text of a file's bytes; ``text.encode()`` gives exactly the same bytes back.

    Line ends and a byte-order mark stay in the text.

    Arguments:
        data: the bytes.
        file: name for error messages.

    Raises:
        EditRefused: the bytes are not UTF-8.
    """
    if data[:2] in _OTHER_MARKS or (len(data) > 1 and 0 in data[:2]):
        raise EditRefused(
            "expected UTF-8, found UTF-16 or UTF-32", place=Place(file, 1, 1), fix="save it as UTF-8"
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = len(data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode()) + 1
        raise EditRefused(
            f"expected UTF-8, found the byte 0x{data[error.start]:02x}",
            place=Place(file, line, column),
            fix="save the file as UTF-8",
        ) from None
