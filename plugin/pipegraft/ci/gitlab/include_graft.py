"""The one include line: put into a configuration, found again, and taken out byte for byte.

How the line is written says what stood there before, so that no record is needed to restore it:

=====================================  ==========================================  =====================
the team's file                        with the line                               ours is written as
=====================================  ==========================================  =====================
no ``include``                         ``include: M``                              the whole value
``include:`` without a value           ``include: [M]``                            a string
``include: a.yml``                     ``include: [a.yml, M]``                     a string
``include: {local: a.yml}``            ``include: [{local: a.yml}, M]``            a string
a block mapping                        a block list of the mapping and M           a string
a list                                 the list and ``{local: M}``                 a mapping
=====================================  ==========================================  =====================

A string in a list means that the list is ours, a mapping that it is the team's.
"""

from __future__ import annotations

import json
import re

from yaml.events import AliasEvent, CollectionStartEvent, MappingStartEvent, ScalarEvent, SequenceStartEvent

from pipegraft.ci.gitlab.configuration import local_path
from pipegraft.ci.gitlab.splicing import (
    Splice,
    column_of,
    content_end,
    insert_items,
    line_end,
    line_start,
    newline_of,
    remove_items,
)
from pipegraft.text.yaml.locate import entry_of
from pipegraft.text.yaml.source import Node, Source

__all__ = ["MANIFEST", "add_include", "remove_include"]

MANIFEST = ".pipegraft/gitlab.yml"
"""The generated file that the line includes: which stages, from where, wired how."""

_FLOW_INDICATORS = re.compile(r"[\[\]{},]")


def add_include(source: Source, root: Node) -> list[Splice]:
    """The edits that make a configuration include the manifest; none if it does.

    Arguments:
        source: the text.
        root: the mapping of jobs and keywords.

    Raises:
        EditRefused: `include` is written in a way that cannot be undone exactly.
    """
    entry = entry_of(source, root, "include")
    if entry is None:
        return [_new_entry(source, root)]
    key, value = entry
    event = source.events[value]
    if isinstance(event, SequenceStartEvent):
        return _append(source, value)
    if isinstance(event, MappingStartEvent):
        return _wrap(source, value) if event.flow_style else _indent(source, value)
    if isinstance(event, AliasEvent):
        raise source.refusal(value, "'include' is an alias", "write the include out in full")
    return _beside_scalar(source, key, value)


def _new_entry(source: Source, root: Node) -> Splice:
    event = source.events[root]
    keys = source.children(root)
    assert isinstance(event, CollectionStartEvent)  # noqa: S101 - a mapping
    if event.flow_style:
        at = source.start(keys[0]) if keys else source.text.index("{", source.start(root)) + 1
        return Splice(at, at, f'"include": "{MANIFEST}"' + (", " if keys else ""))
    at = _above(source.text, source.start(keys[0]))
    newline = newline_of(source.text, at)
    return Splice(at, at, f"{' ' * column_of(source, root)}include: {MANIFEST}{newline}{newline}")


def _above(text: str, position: int) -> int:
    """Start of the line that holds the first key, or of the comment that stands right above it.

    A comment in the file's first line is about the file, and stays on top.
    """
    first = at = line_start(text, position)
    while at:
        above = line_start(text, at - 1)
        if not text[above:at].lstrip(" \t").startswith("#"):
            return at
        at = above
    return first


def _append(source: Source, sequence: Node) -> list[Splice]:
    items = source.children(sequence)
    if any(_names_manifest(source, item) for item in items):
        return []
    event = source.events[sequence]
    assert isinstance(event, CollectionStartEvent)  # noqa: S101 - a list
    written = f"{{local: {MANIFEST}}}" if event.flow_style else f"local: {MANIFEST}"
    if event.flow_style and '"' in source.text[source.start(sequence) : content_end(source, sequence)]:
        written = json.dumps({"local": MANIFEST})
    return [insert_items(source, sequence, len(items), [written])]


def _wrap(source: Source, node: Node) -> list[Splice]:
    start, end = source.start(node), content_end(source, node)
    return [Splice(start, start, "["), Splice(end, end, f", {MANIFEST}]")]


def _indent(source: Source, mapping: Node) -> list[Splice]:
    """Make a block mapping the first item of a list, its other lines two columns further in."""
    text, start, end = source.text, source.start(mapping), content_end(source, mapping)
    last = line_end(text, end)
    filled = [at for at in _line_starts(text, start, end) if text[at : line_end(text, at)].strip()]
    deeper = [Splice(at, at, "  ") for at in filled]
    lead = newline_of(text, last) + " " * column_of(source, mapping)
    return [Splice(start, start, "- "), *deeper, Splice(last, last, f"{lead}- {MANIFEST}")]


def _line_starts(text: str, start: int, end: int) -> list[int]:
    """Where the lines begin that follow the one of `start`, up to the one of `end`."""
    found, at = [], end
    while (at := line_start(text, at)) > start:
        found.append(at)
        at -= 1
    return found[::-1]


def _beside_scalar(source: Source, key: Node, value: Node) -> list[Splice]:
    event = source.events[value]
    assert isinstance(event, ScalarEvent)  # noqa: S101 - all else is handled
    start, end = source.start(value), content_end(source, value)
    if _is_manifest(event.value):
        return []
    if start == end:
        at = source.text.index(":", int(source.events[key].end_mark.index)) + 1
        return [Splice(at, at, f" [{MANIFEST}]")]
    plain = not event.style
    if event.style in ("|", ">") or (plain and _FLOW_INDICATORS.search(event.value)):
        raise source.refusal(
            value, "'include' cannot be made a list as it is written", "quote it, or write a list"
        )
    if plain and event.value in ("~", "null", "Null", "NULL"):
        raise source.refusal(value, "'include' is null", "take the key out, or write the file to include")
    return _wrap(source, value)


def remove_include(source: Source, root: Node) -> list[Splice]:
    """The edits that take the line out again; none if it is not there."""
    entry = entry_of(source, root, "include")
    if entry is None:
        return []
    key, value = entry
    event = source.events[value]
    if isinstance(event, ScalarEvent):
        return [_remove_entry(source, root, key, value)] if _is_manifest(event.value) else []
    if not isinstance(event, SequenceStartEvent):
        return []
    items = source.children(value)
    ours = [index for index, item in enumerate(items) if _names_manifest(source, item)]
    if len(ours) != 1:
        return remove_items(source, value, ours)
    return _undo(source, key, value, ours[0])


def _undo(source: Source, key: Node, sequence: Node, index: int) -> list[Splice]:
    items = source.children(sequence)
    list_is_ours = isinstance(source.events[items[index]], ScalarEvent)
    if not list_is_ours or len(items) > 2:
        return remove_items(source, sequence, [index])
    start, end = source.start(sequence), content_end(source, sequence)
    if len(items) == 1:
        colon = source.text.index(":", int(source.events[key].end_mark.index)) + 1
        return [Splice(colon, end, "")]
    other = items[1 - index]
    event = source.events[sequence]
    assert isinstance(event, CollectionStartEvent)  # noqa: S101 - a list
    if event.flow_style:
        return [Splice(start, source.start(other), ""), Splice(content_end(source, other), end, "")]
    return [*_outdent(source, sequence, other), *remove_items(source, sequence, [index])]


def _outdent(source: Source, sequence: Node, mapping: Node) -> list[Splice]:
    text, start = source.text, source.start(mapping)
    dash = int(source.events[sequence].start_mark.index)
    width = start - dash
    lines = _line_starts(text, start, content_end(source, mapping))
    return [
        Splice(dash, start, ""),
        *(Splice(at, at + width, "") for at in lines if text[at : at + width] == " " * width),
    ]


def _remove_entry(source: Source, root: Node, key: Node, value: Node) -> Splice:
    text, event = source.text, source.events[root]
    assert isinstance(event, CollectionStartEvent)  # noqa: S101 - a mapping
    if event.flow_style:
        keys = source.children(root)[::2]
        following = [other for other in keys if other > key]
        end = source.start(following[0]) if following else content_end(source, value)
        return Splice(source.start(key), end, "")
    start, end = line_start(text, source.start(key)), line_end(text, content_end(source, value))
    end += len(newline_of(text, end)) if end < len(text) else 0
    if line_end(text, end) == end and end < len(text):
        end += len(newline_of(text, end))
    return Splice(start, end, "")


def _names_manifest(source: Source, item: Node) -> bool:
    event = source.events[item]
    if isinstance(event, ScalarEvent):
        return _is_manifest(event.value)
    if not isinstance(event, MappingStartEvent):
        return False
    local = entry_of(source, item, "local")
    return local is not None and _is_manifest(getattr(source.events[local[1]], "value", ""))


def _is_manifest(value: str) -> bool:
    return bool(value) and local_path(value) == MANIFEST
