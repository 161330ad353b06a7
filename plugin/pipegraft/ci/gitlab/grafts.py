"""What delivery puts into the team's files: a line of `include`, and its stages in the list of stages.

Both are found again by their names and taken out byte for byte. An item put into a block list is a line break
and a line, inserted at the end of a line; taking an item out removes exactly that. In a flow list it is a
separator and a value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from yaml.events import AliasEvent, MappingStartEvent, ScalarEvent, SequenceStartEvent

from pipegraft.ci.gitlab.configuration import local_path
from pipegraft.ci.gitlab.pipeline import is_ours
from pipegraft.text.yaml.changes import Replaced
from pipegraft.text.yaml.layout import (
    column_of,
    content_end,
    is_flow,
    line_break_near,
    line_end,
    line_start,
    next_line,
    without_break,
)
from pipegraft.text.yaml.paths import entry_of
from pipegraft.text.yaml.source import LINE_BREAK, Node, Source

__all__ = [
    "MANIFEST",
    "add_include",
    "add_stages",
    "remove_include",
    "remove_stages",
    "written_stages",
]

MANIFEST = ".pipegraft/gitlab.yml"
"""The generated file that the line includes: which stages, from where, wired how."""

_FLOW_INDICATORS = re.compile(r"[\[\]{},]")


def add_include(source: Source, root: Node) -> list[Replaced]:
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
        return _wrap(source, value) if is_flow(source, value) else _indent(source, value)
    if isinstance(event, AliasEvent):
        raise source.refusal(value, "'include' is an alias", "write the include out in full")
    return _beside_scalar(source, key, value)


def _new_entry(source: Source, root: Node) -> Replaced:
    keys = source.children(root)
    if is_flow(source, root):
        at = source.start(keys[0]) if keys else source.text.index("{", source.start(root)) + 1
        return Replaced(at, at, f'"include": "{MANIFEST}"' + (", " if keys else ""))
    at = _above(source.text, source.start(keys[0]))
    newline = line_break_near(source.text, at)
    return Replaced(at, at, f"{' ' * column_of(source, root)}include: {MANIFEST}{newline}{newline}")


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


def _append(source: Source, sequence: Node) -> list[Replaced]:
    items = source.children(sequence)
    if any(_names_manifest(source, item) for item in items):
        return []
    flow = is_flow(source, sequence)
    written = f"{{local: {MANIFEST}}}" if flow else f"local: {MANIFEST}"
    if flow and '"' in source.text[source.start(sequence) : content_end(source, sequence)]:
        written = json.dumps({"local": MANIFEST})
    return [insert_items(source, sequence, len(items), [written])]


def _wrap(source: Source, node: Node) -> list[Replaced]:
    start, end = source.start(node), content_end(source, node)
    return [Replaced(start, start, "["), Replaced(end, end, f", {MANIFEST}]")]


def _indent(source: Source, mapping: Node) -> list[Replaced]:
    """Make a block mapping the first item of a list, its other lines two columns further in."""
    text, start, end = source.text, source.start(mapping), content_end(source, mapping)
    last = line_end(text, end)
    filled = [at for at in _line_starts(text, start, end) if text[at : line_end(text, at)].strip()]
    deeper = [Replaced(at, at, "  ") for at in filled]
    lead = line_break_near(text, last) + " " * column_of(source, mapping)
    return [Replaced(start, start, "- "), *deeper, Replaced(last, last, f"{lead}- {MANIFEST}")]


def _line_starts(text: str, start: int, end: int) -> list[int]:
    """Where the lines begin that follow the one of `start`, up to the one of `end`."""
    found, at = [], end
    while (at := line_start(text, at)) > start:
        found.append(at)
        at -= 1
    return found[::-1]


def _beside_scalar(source: Source, key: Node, value: Node) -> list[Replaced]:
    event = source.events[value]
    assert isinstance(event, ScalarEvent)  # noqa: S101 - all else is handled
    start, end = source.start(value), content_end(source, value)
    if _is_manifest(event.value):
        return []
    if start == end:
        at = source.text.index(":", int(source.events[key].end_mark.index)) + 1
        return [Replaced(at, at, f" [{MANIFEST}]")]
    plain = not event.style
    if event.style in ("|", ">") or (plain and _FLOW_INDICATORS.search(event.value)):
        raise source.refusal(
            value, "'include' cannot be made a list as it is written", "quote it, or write a list"
        )
    if plain and event.value in ("~", "null", "Null", "NULL"):
        raise source.refusal(value, "'include' is null", "take the key out, or write the file to include")
    return _wrap(source, value)


def remove_include(source: Source, root: Node) -> list[Replaced]:
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


def _undo(source: Source, key: Node, sequence: Node, index: int) -> list[Replaced]:
    items = source.children(sequence)
    list_is_ours = isinstance(source.events[items[index]], ScalarEvent)
    if not list_is_ours or len(items) > 2:
        return remove_items(source, sequence, [index])
    start, end = source.start(sequence), content_end(source, sequence)
    if len(items) == 1:
        colon = source.text.index(":", int(source.events[key].end_mark.index)) + 1
        return [Replaced(colon, end, "")]
    other = items[1 - index]
    if is_flow(source, sequence):
        return [Replaced(start, source.start(other), ""), Replaced(content_end(source, other), end, "")]
    return [*_outdent(source, sequence, other), *remove_items(source, sequence, [index])]


def _outdent(source: Source, sequence: Node, mapping: Node) -> list[Replaced]:
    text, start = source.text, source.start(mapping)
    dash = int(source.events[sequence].start_mark.index)
    width = start - dash
    lines = _line_starts(text, start, content_end(source, mapping))
    return [
        Replaced(dash, start, ""),
        *(Replaced(at, at + width, "") for at in lines if text[at : at + width] == " " * width),
    ]


def _remove_entry(source: Source, root: Node, key: Node, value: Node) -> Replaced:
    text = source.text
    if is_flow(source, root):
        keys = source.children(root)[::2]
        following = [other for other in keys if other > key]
        end = source.start(following[0]) if following else content_end(source, value)
        return Replaced(source.start(key), end, "")
    start, end = line_start(text, source.start(key)), next_line(text, content_end(source, value))
    if line_end(text, end) == end:
        end = next_line(text, end)
    return Replaced(start, end, "")


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


def add_stages(source: Source, root: Node, ordered: Sequence[str]) -> list[Replaced]:
    """The edits that bring the list in a file to an order.

    Arguments:
        source: the text.
        root: the mapping that has `stages`.
        ordered: all stages, the team's in the order they have in the file.

    Raises:
        EditRefused: the list is an alias or holds something else than names.
    """
    sequence = _sequence(source, root)
    items = [_names(source, item) for item in source.children(sequence)]
    present = [name for names in items for name in names]
    removed = [
        index for index, names in enumerate(items) if names and is_ours(names[0]) and names[0] not in ordered
    ]
    edits = remove_items(source, sequence, removed)
    new: list[str] = []
    behind = 0
    for stage in ordered:
        if stage not in present:
            new.append(stage)
            continue
        at = next(index for index, names in enumerate(items) if stage in names)
        if new and behind == at + 1:
            raise source.refusal(
                source.children(sequence)[at],
                f"{', '.join(new)} would have to stand inside of a list in 'stages'",
                "write its names out in 'stages'",
            )
        edits += _insert(source, sequence, behind, new)
        new, behind = [], at + 1
    return edits + _insert(source, sequence, behind, new)


def written_stages(source: Source, root: Node) -> list[str]:
    """The list of stages as the file writes it, inputs not filled in.

    Raises:
        EditRefused: the list is an alias or holds something else than names.
    """
    return [name for item in source.children(_sequence(source, root)) for name in _names(source, item)]


def _names(source: Source, item: Node) -> list[str]:
    """The names of an item of `stages`: it is one, or a list of them, perhaps by an alias."""
    event = source.events[item]
    if isinstance(event, AliasEvent):
        return _names(source, source.anchored(item))
    if isinstance(event, SequenceStartEvent) and event.implicit:
        return [name for inner in source.children(item) for name in _names(source, inner)]
    if not isinstance(event, ScalarEvent) or not event.value:
        raise source.refusal(item, "'stages' holds something else than names", "write the names out")
    return [event.value]


def _insert(source: Source, sequence: Node, behind: int, stages: list[str]) -> list[Replaced]:
    if not stages:
        return []
    items = source.children(sequence)
    quote = getattr(source.events[items[max(behind - 1, 0)]], "style", None) if items else None
    mark = quote if quote in ("'", '"') else ""
    return [insert_items(source, sequence, behind, [f"{mark}{stage}{mark}" for stage in stages])]


def remove_stages(source: Source, root: Node) -> tuple[list[Replaced], tuple[str, ...]]:
    """The edits that take delivery's stages out of a file's list, and which they are."""
    entry = entry_of(source, root, "stages")
    if entry is None or not isinstance(source.events[entry[1]], SequenceStartEvent):
        return [], ()
    found = [
        (index, str(event.value))
        for index, item in enumerate(source.children(entry[1]))
        if isinstance(event := source.events[item], ScalarEvent) and is_ours(event.value)
    ]
    edits = remove_items(source, entry[1], [index for index, _ in found])
    return edits, tuple(stage for _, stage in found)


def _sequence(source: Source, root: Node) -> Node:
    entry = entry_of(source, root, "stages")
    node = entry[1] if entry else root
    event = source.events[node]
    if not isinstance(event, SequenceStartEvent) or event.anchor:  # an anchored list is used elsewhere too
        raise source.refusal(
            node, "'stages' is not written as a plain list of names", "write the list out in full"
        )
    return node


def insert_items(source: Source, sequence: Node, index: int, items: list[str]) -> Replaced:
    """Put items into a list.

    Arguments:
        source: the text.
        sequence: the list; an empty one must be in flow style.
        index: how many of its items stay before the new ones.
        items: the new ones, each written on one line.
    """
    if is_flow(source, sequence):
        return _insert_flow(source, sequence, index, items)
    children = source.children(sequence)
    text = source.text
    if index:
        at = line_end(text, content_end(source, children[index - 1]))
    else:
        first = line_start(text, source.start(sequence))
        at = without_break(text, first)
    lead = line_break_near(text, at) + " " * column_of(source, sequence) + "- "
    return Replaced(at, at, "".join(lead + item for item in items))


def _insert_flow(source: Source, sequence: Node, index: int, items: list[str]) -> Replaced:
    children = source.children(sequence)
    if not children:
        at = source.text.index("[", source.start(sequence)) + 1
        return Replaced(at, at, ", ".join(items))
    separator = _separator(source, sequence, children)
    if index:
        at = content_end(source, children[index - 1])
        return Replaced(at, at, "".join(separator + item for item in items))
    at = source.start(children[0])
    return Replaced(at, at, "".join(item + separator for item in items))


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


def remove_items(source: Source, sequence: Node, indexes: Sequence[int]) -> list[Replaced]:
    """Take items out of a list.

    Arguments:
        indexes: which ones, rising.
    """
    children = source.children(sequence)
    if not is_flow(source, sequence):
        return [_remove_line(source, sequence, children[index]) for index in indexes]
    leading = next((n for n, index in enumerate(indexes) if n != index), len(indexes))
    edits = [
        Replaced(content_end(source, children[index - 1]), content_end(source, children[index]), "")
        for index in indexes[leading:]
    ]
    if leading:
        rest = children[leading:]
        end = source.start(rest[0]) if rest else content_end(source, children[-1])
        edits.insert(0, Replaced(source.start(children[0]), end, ""))
    return edits


def _remove_line(source: Source, sequence: Node, item: Node) -> Replaced:
    text = source.text
    start = line_start(text, _dash(source, sequence, item))
    return Replaced(without_break(text, start), line_end(text, content_end(source, item)), "")


def _dash(source: Source, sequence: Node, item: Node) -> int:
    """Index of the dash of an item of a block list."""
    column = column_of(source, sequence)
    at = line_start(source.text, source.start(item))
    while source.text[at + column : at + column + 1] != "-":  # the value may begin on a later line
        at = line_start(source.text, at - 1)
    return at + column
