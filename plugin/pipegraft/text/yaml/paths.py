"""Where a value stands in a YAML document, and how people write that down.

A path is a tuple of mapping keys (``str``), sequence indexes (``int``, from 0) and `Where`, the one item
of a sequence that holds a key with a value. Written down it is dotted: ``spec.containers[0].image``, or
``spec.containers[name=web].image``, which stays right when items move. A key or a value that holds a
dot, a bracket, a quote or white space is quoted: ``["app.kubernetes.io/name"]``, ``[name="a b"]``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from yaml.events import AliasEvent, MappingStartEvent, ScalarEvent, SequenceStartEvent

from pipegraft.core.errors import EditRefused, Place
from pipegraft.text.yaml.source import Event, Node, Source

__all__ = [
    "Path",
    "Step",
    "Walk",
    "Where",
    "entry_of",
    "entry_text",
    "format_path",
    "is_merge_key",
    "key_text",
    "keys_of",
    "leaves",
    "parse_path",
    "split_assignment",
    "value_at",
    "walk",
]


@dataclass(frozen=True, slots=True)
class Where:
    """The item of a sequence that is a mapping with this entry.

    Arguments:
        key: a key of the item.
        value: what its value reads as.
    """

    key: str
    value: str


Path = tuple[str | int | Where, ...]
"""The way from the root of a document to a value; ``()`` is the root itself."""

_BARE_KEY = re.compile(r"""[^.\[\]"'\s]+""")
_INDEX = re.compile(r"\[([0-9]+)\]")
_WHERE = re.compile(r"""\[([^\[\]"'=]+)=(?:("(?:[^"\\]|\\.)*")|([^\[\]"']*))\]""")
_BARE_VALUE = re.compile(r"""[^\[\]"']*""")
_DOUBLE_QUOTED = re.compile(r'\[("(?:[^"\\]|\\.)*")\]')
_SINGLE_QUOTED = re.compile(r"\['((?:[^']|'')*)'\]")


_ASSIGNMENT = re.compile(
    r"""((?:[^=\["']|\[(?:[^\]"']|"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')*\])+)=(.*)""", re.DOTALL
)
"""A path may hold '=' inside its brackets, where quotes may hold brackets."""


def split_assignment(word: str) -> tuple[str, str] | None:
    """Path and value of ``PATH=VALUE``, both as written; None if it is not that."""
    found = _ASSIGNMENT.fullmatch(word)
    return (found[1], found[2]) if found else None


def parse_path(text: str) -> Path:
    """Read a written path.

    Arguments:
        text: ``a.b[0][name=web]["key.with.dots"]``; a dot may stand first, and ``.`` is the root.

    Returns:
        Its parts.

    Raises:
        EditRefused: the text is not a path; the place gives the column.
    """
    if text == ".":
        return ()
    at = 1 if text.startswith(".") else 0
    parts: list[str | int | Where] = []
    while True:
        part, at = _part(text, at)
        parts.append(part)
        if at == len(text):
            return tuple(parts)
        if text[at] == ".":
            at += 1
            if text.startswith("[", at):
                raise _refusal(text, at, "found '.['", "leave out the dot before '['")
        elif text[at] != "[":
            raise _refusal(text, at, f"expected '.', '[' or the end, found {text[at]!r}", _QUOTE_IT)


_QUOTE_IT = 'write a key with special characters as ["the key"]'


def _part(text: str, at: int) -> tuple[str | int | Where, int]:
    if not text.startswith("[", at):
        bare = _BARE_KEY.match(text, at)
        if not bare:
            found = repr(text[at]) if at < len(text) else "the end"
            raise _refusal(text, at, f"expected a key, found {found}", _QUOTE_IT)
        return bare[0], bare.end()
    if index := _INDEX.match(text, at):
        return int(index[1]), index.end()
    if quoted := _DOUBLE_QUOTED.match(text, at):
        return _unquoted(text, at, quoted[1]), quoted.end()
    if quoted := _SINGLE_QUOTED.match(text, at):
        return quoted[1].replace("''", "'"), quoted.end()
    if where := _WHERE.match(text, at):
        value = _unquoted(text, at, where[2]) if where[2] else where[3]
        return Where(where[1], value), where.end()
    if text.startswith("[-", at):
        raise _refusal(
            text, at, "an index counts from the start, from 0, found a negative one", "count from the start"
        )
    raise _refusal(text, at, 'expected [INDEX], ["KEY"] or [KEY=VALUE]', 'write [0], ["key"] or [name=web]')


def _unquoted(text: str, at: int, quoted: str) -> str:
    try:
        return str(json.loads(quoted))
    except json.JSONDecodeError as error:
        raise _refusal(text, at, f"{quoted} is not a JSON string: {error.msg}", "") from None


def _refusal(text: str, at: int, message: str, fix: str) -> EditRefused:
    return EditRefused(f"path {text!r}: {message}", place=Place("<path>", 1, at + 1), fix=fix)


def format_path(path: Path) -> str:
    """Write a path down, so that `parse_path` reads the same path again.

    Arguments:
        path: its parts.

    Returns:
        The dotted form; ``.`` for the root.
    """
    if not path:
        return "."
    written = ""
    for part in path:
        if isinstance(part, int):
            written += f"[{part}]"
        elif isinstance(part, Where):
            bare = _BARE_VALUE.fullmatch(part.value)
            written += f"[{part.key}={part.value if bare else json.dumps(part.value, ensure_ascii=False)}]"
        elif _BARE_KEY.fullmatch(part):
            written += f".{part}" if written else part
        else:
            written += f"[{json.dumps(part, ensure_ascii=False)}]"
    return written


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a path, found.

    Arguments:
        container: the mapping or sequence it was looked up in.
        key: its key, if the container is a mapping.
        value: the node found.
        inherited: whether the container has it through a merge key, ``<<``, and not itself.
    """

    container: Node
    key: Node | None
    value: Node
    inherited: bool = False


@dataclass(frozen=True, slots=True)
class Walk:
    """How far a path leads.

    Arguments:
        root: the root node of the document.
        path: the path followed.
        steps: one for each part found.
        alias: the alias the walk stopped at, if it was not to follow it.
    """

    root: Node
    path: Path
    steps: tuple[Step, ...]
    alias: Node | None = None

    @property
    def complete(self) -> bool:
        """Whether the whole path was found."""
        return len(self.steps) == len(self.path)

    @property
    def node(self) -> Node:
        """The last node reached."""
        return self.steps[-1].value if self.steps else self.root

    @property
    def done(self) -> Path:
        """The part of the path that exists."""
        return self.path[: len(self.steps)]

    @property
    def inherited(self) -> int | None:
        """The number of the first step that came through a merge key."""
        return next((number for number, step in enumerate(self.steps) if step.inherited), None)


def walk(source: Source, root: Node, path: Path, *, follow: bool) -> Walk:
    """Follow a path as far as it exists.

    Arguments:
        source: the text.
        root: where to start.
        path: its parts.
        follow: whether to go through aliases on the way; keys inherited through ``<<`` are always found.

    Raises:
        EditRefused: a mapping on the way has the wanted key twice.
    """
    steps: list[Step] = []
    node = root
    for part in path:
        if isinstance(source.events[node], AliasEvent):
            if not follow:
                return Walk(root, path, tuple(steps), node)
            node = source.anchored(node)
        step = _step(source, node, part)
        if step is None:
            return Walk(root, path, tuple(steps))
        steps.append(step)
        node = step.value
    if follow and steps and isinstance(source.events[node], AliasEvent):
        last = steps.pop()
        steps.append(Step(last.container, last.key, source.anchored(node), last.inherited))
    return Walk(root, path, tuple(steps))


def _step(source: Source, node: Node, part: str | int | Where, merging: tuple[Node, ...] = ()) -> Step | None:
    if node in merging:
        raise source.refusal(node, "a mapping is merged into itself", "take the merge key out")
    event = source.events[node]
    if isinstance(event, SequenceStartEvent) and isinstance(part, int):
        items = source.children(node)
        return Step(node, None, items[part]) if part < len(items) else None
    if isinstance(event, SequenceStartEvent) and isinstance(part, Where):
        return _chosen(source, node, part)
    if isinstance(event, MappingStartEvent) and isinstance(part, str):
        if entry := entry_of(source, node, part):
            return Step(node, *entry)
        for base in _bases(source, node):
            if (step := _step(source, base, part, (*merging, node))) is not None:
                return Step(node, step.key, step.value, inherited=True)
    return None


def _chosen(source: Source, sequence: Node, where: Where) -> Step | None:
    items = [item for item in source.children(sequence) if entry_text(source, item, where.key) == where.value]
    if len(items) > 1:
        first = source.place(source.start(items[0]))
        raise source.refusal(
            items[1],
            f"two items have the {where.key} {where.value!r}, the first in line {first.line}",
            "name the item by its index",
        )
    return Step(sequence, None, items[0]) if items else None


def entry_text(source: Source, item: Node, key: str) -> str | None:
    """What an entry of a mapping reads, through aliases and merge keys; None if there is no such scalar."""
    reached = walk(source, item, (key,), follow=True)
    event = source.events[reached.node]
    return str(event.value) if reached.complete and isinstance(event, ScalarEvent) else None


def entry_of(source: Source, mapping: Node, key: str) -> tuple[Node, Node] | None:
    """The mapping's own entry with a key.

    Raises:
        EditRefused: the mapping has the key twice.
    """
    entries = [entry for entry in source.entries(mapping) if key_text(source, entry[0]) == key]
    if len(entries) > 1:
        first = source.place(source.start(entries[0][0]))
        raise source.refusal(
            entries[1][0],
            f"the key {key!r} stands twice in one mapping, first in line {first.line}",
            "remove one of the two",
        )
    return entries[0] if entries else None


def keys_of(source: Source, mapping: Node) -> list[str]:
    """The mapping's own keys that are scalars, as they read."""
    texts = (key_text(source, key) for key, _ in source.entries(mapping))
    return [text for text in texts if text is not None]


def key_text(source: Source, key: Node) -> str | None:
    """What a key reads, an alias as what it stands for; None if it is a collection."""
    event = source.events[key]
    if isinstance(event, AliasEvent):
        event = source.events[source.anchored(key)]
    return str(event.value) if isinstance(event, ScalarEvent) else None


def is_merge_key(event: Event) -> bool:
    """Whether the event is the key ``<<`` of YAML 1.1: plain, and not a quoted string."""
    return isinstance(event, ScalarEvent) and event.value == "<<" and not event.style and event.tag is None


def _bases(source: Source, mapping: Node) -> Iterator[Node]:
    """The mappings merged into one, the strongest first."""
    for key, value in source.entries(mapping):
        if not is_merge_key(source.events[key]):
            continue
        merged = source.anchored(value) if isinstance(source.events[value], AliasEvent) else value
        if isinstance(source.events[merged], SequenceStartEvent):
            for item in source.children(merged):
                yield source.anchored(item) if isinstance(source.events[item], AliasEvent) else item
        else:
            yield merged


def value_at(data: Any, path: Path) -> Any:
    """What stands at a path of plain data; None if nothing."""
    for part in path:
        if isinstance(data, dict) and isinstance(part, str):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data


def leaves(data: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value of plain data that is neither a mapping nor a list, and where it stands."""
    below = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else None
    if below is None:
        yield path, data
    else:
        for part, value in below:
            yield from leaves(value, (*path, part))
