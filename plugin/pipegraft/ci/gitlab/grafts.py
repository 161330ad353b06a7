"""What delivery puts into the team's files: a line of `include`, and its stages in the list of stages.

Both are found again by their names and taken out byte for byte. The order of stages is merged by the
algorithm that GitLab's pipeline execution policies use for `inject_policy`
(https://docs.gitlab.com/user/application_security/policies/pipeline_execution_policies/): every list says
"comes before"; the lists together form a graph; a cycle has no order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

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
from pipegraft.core.errors import UsageError
from pipegraft.text.yaml.paths import entry_of
from pipegraft.text.yaml.source import Node, Source

__all__ = [
    "MANIFEST",
    "add_include",
    "add_stages",
    "is_ours",
    "merge_orders",
    "order_stages",
    "remove_include",
    "remove_stages",
    "stage_name",
    "written_stages",
]

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


def merge_orders(*orders: Sequence[str], fix: str = "") -> list[str]:
    """One order that respects all; where they leave a choice, what was named first stays first.

    Arguments:
        orders: lists of stage names, the one to stay closest to first; a name counts where it first stands.
        fix: what to do about a cycle.

    Raises:
        UsageError: they contradict each other; the cycle is named.
    """
    names = list(dict.fromkeys(name for order in orders for name in order))
    before: dict[str, set[str]] = {name: set() for name in names}
    for order in orders:
        for earlier, later in pairwise(dict.fromkeys(order)):
            before[later].add(earlier)
    done: dict[str, None] = {}
    while len(done) < len(names):
        ready = next((name for name in names if name not in done and before[name] <= done.keys()), None)
        if ready is None:
            left = {name: needs - done.keys() for name, needs in before.items() if name not in done}
            path = " → ".join(_cycle(left))
            raise UsageError(
                f"the stages cannot be put in order, each must precede the next: {path}", fix=fix
            )
        done[ready] = None
    return list(done)


def _cycle(before: Mapping[str, set[str]]) -> list[str]:
    """A cycle in a graph in which every node has a predecessor, from earlier to later."""
    path = [next(iter(before))]
    while True:
        earlier = min(before[path[-1]])
        if earlier in path:
            return [earlier, *reversed(path[path.index(earlier) :])]
        path.append(earlier)


_OURS = "pipegraft"


def stage_name(environment: str | None) -> str:
    """The pipeline stage for the application as a whole, or for one of its environments."""
    return f"{_OURS}:{environment}" if environment else _OURS


def is_ours(stage: str) -> bool:
    """Whether a pipeline stage is one of delivery's."""
    return stage == _OURS or stage.startswith(f"{_OURS}:")


def order_stages(present: Sequence[str], wanted: Sequence[str], after: str | None) -> list[str]:
    """The list of stages with delivery's among them.

    Arguments:
        present: the list in force, perhaps with some of delivery's stages already.
        wanted: delivery's stages in their order.
        after: the team's stage to follow; where delivery already stands, else the last one, if None.

    Raises:
        UsageError: `after` is unknown, or the order contradicts itself.
    """
    team = [stage for stage in present if not is_ours(stage)]
    if after is not None and after not in (*team, ".pre"):
        raise UsageError(
            f"there is no stage '{after}'; there are: {', '.join(team) or 'none'}",
            fix="name one of them with --after",
        )
    kept = (
        team if after is not None else [stage for stage in present if stage in wanted or not is_ours(stage)]
    )
    standing = [stage for stage in wanted if stage in kept]
    at = kept.index(".post") if ".post" in kept else len(kept)
    if standing:
        at = kept.index(standing[0])
    elif after is not None:
        at = team.index(after) + 1 if after in team else 0
    placed = list(kept)
    for stage in wanted:
        if stage not in placed:
            placed.insert(at, stage)
        at = placed.index(stage) + 1
    return merge_orders(
        placed,
        wanted,
        fix="let the list in the file follow the order of the environments in delivery.yaml, or take "
        "delivery's stages out of it and run inject again",
    )


def add_stages(source: Source, root: Node, ordered: Sequence[str]) -> list[Splice]:
    """The edits that bring the list in a file to an order.

    Arguments:
        source: the text.
        root: the mapping that has `stages`.
        ordered: all stages, the team's in the order they have in the file.

    Raises:
        EditRefused: the list is an alias or holds something else than names.
    """
    sequence = _sequence(source, root)
    present = written_stages(source, root)
    removed = [index for index, stage in enumerate(present) if is_ours(stage) and stage not in ordered]
    edits = remove_items(source, sequence, removed)
    new: list[str] = []
    behind = 0
    for stage in ordered:
        if stage not in present:
            new.append(stage)
            continue
        edits += _insert(source, sequence, behind, new)
        new, behind = [], present.index(stage) + 1
    return edits + _insert(source, sequence, behind, new)


def written_stages(source: Source, root: Node) -> list[str]:
    """The list of stages as the file writes it, inputs not filled in.

    Raises:
        EditRefused: the list is an alias or holds something else than names.
    """
    return [str(source.events[item].value) for item in source.children(_sequence(source, root))]


def _insert(source: Source, sequence: Node, behind: int, stages: list[str]) -> list[Splice]:
    if not stages:
        return []
    items = source.children(sequence)
    quote = source.events[items[max(behind - 1, 0)]].style if items else None
    mark = quote if quote in ("'", '"') else ""
    return [insert_items(source, sequence, behind, [f"{mark}{stage}{mark}" for stage in stages])]


def remove_stages(source: Source, root: Node) -> tuple[list[Splice], tuple[str, ...]]:
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
    plain = isinstance(event, SequenceStartEvent) and all(
        isinstance(source.events[item], ScalarEvent) for item in source.children(node)
    )
    if not plain or event.anchor:  # an anchored list is used elsewhere too
        raise source.refusal(
            node, "'stages' is not written as a plain list of names", "write the list out in full"
        )
    return node
