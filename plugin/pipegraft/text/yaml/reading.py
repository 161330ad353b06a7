"""Reading values out of a YAML text, finding where they stand, or why a path leads nowhere."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import partial
from typing import TypeAlias

from yaml.events import AliasEvent, MappingStartEvent, ScalarEvent, SequenceStartEvent

from pipegraft.core.errors import EditRefused, Place
from pipegraft.text.yaml.layout import content_end, content_start
from pipegraft.text.yaml.paths import (
    Path,
    Walk,
    Where,
    entry_text,
    format_path,
    is_merge_key,
    key_text,
    keys_of,
    walk,
)
from pipegraft.text.yaml.source import Node, Source, Span, parse
from pipegraft.text.yaml.values import Scalar, Style, Value, as_flow, is_list, means, node_lines, read_scalar

__all__ = [
    "Read",
    "aliases_of",
    "document_root",
    "document_with",
    "equal",
    "get_text",
    "get_value",
    "has_path",
    "locate",
    "missing",
    "reach",
    "read_documents",
]


def reach(source: Source, path: Path, document: int | None) -> Walk:
    """Follow a path to its end, through aliases and merge keys.

    Raises:
        EditRefused: the path is missing or ambiguous.
    """
    reached = walk(source, document_root(source, path, document), path, follow=True)
    if not reached.complete:
        raise missing(source, reached)
    return reached


def document_root(source: Source, path: Path, document: int | None) -> Node:
    """The root node of the document an operation is meant for.

    Arguments:
        source: the text.
        path: where the operation goes: without a number, the one document that has it is meant.
        document: the document's number, from 0.

    Raises:
        EditRefused: no such document, or more than one comes into question.
    """
    roots = [start + 1 for start in source.documents]
    count = len(roots)
    if document is not None:
        if not 0 <= document < count:
            raise EditRefused(
                f"there is no document {document}: the file has {count}, counted from 0",
                place=Place(source.file),
                fix="give the number of a document that exists",
            )
        return roots[document]
    if not count:
        raise EditRefused(
            f"{format_path(path)} is missing: the file is empty",
            place=Place(source.file, 1, 1),
            fix="add the value by hand first, or ask for it to be created",
        )
    if count == 1:
        return roots[0]
    having = [root for root in roots if walk(source, root, path, follow=True).complete]
    if len(having) == 1:
        return having[0]
    what = f"{len(having)} of them have {format_path(path)}" if having else f"none has {format_path(path)}"
    raise EditRefused(
        f"the file holds {count} documents and {what}",
        place=source.place(source.start(having[1] if having else roots[1])),
        fix=f"say which one is meant by its number, from 0 to {count - 1}",
    )


def missing(source: Source, reached: Walk) -> EditRefused:
    """The error for a path that ends early: what exists, what is there, what may have been meant."""
    path, done = reached.path, reached.done
    part = path[len(done)]
    event = source.events[reached.node]
    here = f"{format_path(done)} is" if done else "the document is"
    if isinstance(event, MappingStartEvent) and isinstance(part, str):
        keys = keys_of(source, reached.node)
        near = difflib.get_close_matches(part, keys, n=1)
        fix = f"did you mean {format_path((*done, near[0]))}?" if near else _there("keys", keys)
        what = f"{here} a mapping without the key {part!r}"
    elif isinstance(event, SequenceStartEvent) and isinstance(part, int):
        count = len(source.children(reached.node))
        what = f"{here} a sequence of {count}, counted from 0"
        fix = f"take an index from 0 to {count - 1}" if count else "add an item first"
    elif isinstance(event, SequenceStartEvent) and isinstance(part, Where):
        what = f"{here} a sequence without an item whose {part.key} is {part.value!r}"
        values = (entry_text(source, item, part.key) for item in source.children(reached.node))
        fix = _there(f"values of {part.key}", [value for value in values if value is not None])
    elif isinstance(event, MappingStartEvent):
        fix = (
            f"write the key as {format_path((*done, str(part)))}" if isinstance(part, int) else "write a key"
        )
        what = f"{here} a mapping, and {format_path((part,))} is no key"
    elif isinstance(event, SequenceStartEvent):
        what, fix = f"{here} a sequence, and {part!r} is a key", "write an index, [0] for the first item"
    else:
        what, fix = f"{here} a single value, nothing is inside it", f"let the path end at {format_path(done)}"
    return source.refusal(reached.node, f"{format_path(path)} is missing: {what}", fix)


def _there(what: str, names: list[str]) -> str:
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"the {what} there are: {shown}" if names else f"there are no {what}"


Read: TypeAlias = "Scalar | list[Read] | dict[str, Read]"
"""A value as read: keys are always strings, as they stand in the text."""

_MOST_NODES = 1_000_000
_DEEPEST = 200


def get_value(text: str, path: Path, *, document: int | None = None, file: str = "<text>") -> Read:
    """Read the value at a path, through aliases and merge keys.

    Arguments:
        text: the YAML text.
        path: keys and indexes; ``()`` for the whole document.
        document: the number of the document, from 0; needed when more than one has the path.
        file: name for error messages.

    Returns:
        A scalar typed as far as YAML 1.1 and 1.2 readers agree (``on`` and ``1e3`` are strings), a list, or
        a dict. Tags of collections, such as GitLab's ``!reference``, are left out.

    Raises:
        EditRefused: the text does not parse, or the path is missing or ambiguous.
    """
    source = parse(text, file)
    return _Reader(source).read(reach(source, path, document).node, ())


def read_documents(text: str, file: str = "<text>") -> list[Read]:
    """Read all documents of a text; arguments, values and errors as of `get_value`.

    Raises:
        EditRefused: the text does not parse, or a mapping has a key twice.
    """
    source = parse(text, file)
    return [_Reader(source, unique=True).read(start + 1, ()) for start in source.documents]


def document_with(text: str, path: Path, *, file: str = "<text>") -> int:
    """The number, from 0, of the one document that has a path; 0 where there is one document alone.

    Raises:
        EditRefused: the text does not parse, or none or several of its documents have the path.
    """
    source = parse(text, file)
    return source.document_of(document_root(source, path, None))


def get_text(text: str, path: Path, *, document: int | None = None, file: str = "<text>") -> str:
    """Read the value at a path as text, the way shells want it.

    Arguments:
        text, path, document, file: as for `get_value`.

    Returns:
        A scalar as it reads, ``1.10`` with its zero; a collection as YAML in block style, without a line
        break at its end.

    Raises:
        EditRefused: as for `get_value`.
    """
    source = parse(text, file)
    node = reach(source, path, document).node
    event = source.events[node]
    if isinstance(event, ScalarEvent):
        return str(event.value)
    value = _Reader(source).read(node, ())
    assert isinstance(value, dict | list)  # noqa: S101 - no scalar, so a collection
    return "\n".join(node_lines(value, 0, Style())) if value else as_flow(value)


def locate(
    text: str, path: Path, *, document: int | None = None, key: bool = False, file: str = "<text>"
) -> Span:
    """Where the value at a path stands, through aliases and merge keys.

    Arguments:
        text: the YAML text.
        path: its parts.
        document: the number of the document, from 0; needed when more than one has the path.
        key: whether to find the key of the last part instead of the value.
        file: name for error messages.

    Returns:
        The span of the value, without its anchor and tag; of no length where nobody wrote one.

    Raises:
        EditRefused: the text does not parse, the path is missing or ambiguous, or it has no key.
    """
    source = parse(text, file)
    reached = reach(source, path, document)
    node = reached.node
    if key:
        last = reached.steps[-1].key if reached.steps else None
        if last is None:
            raise source.refusal(
                node, f"{format_path(path)} is no mapping entry", "name a path that ends with a key"
            )
        node = last
    start = content_start(source, node)
    return source.span(start, max(start, content_end(source, node)))


def has_path(text: str, path: Path, *, document: int | None = None, file: str = "<text>") -> bool:
    """Whether a path exists, through aliases and merge keys.

    Arguments:
        text: the YAML text.
        path: its parts.
        document: the number of the document, from 0; any document if it is not given.
        file: name for error messages.

    Raises:
        EditRefused: the text does not parse, or has a key of the path twice.
    """
    source = parse(text, file)
    starts = source.documents if document is None else source.documents[document : document + 1]
    return any(walk(source, start + 1, path, follow=True).complete for start in starts)


def aliases_of(
    text: str, path: Path, *, document: int | None = None, file: str = "<text>"
) -> tuple[Place, ...]:
    """Where else a change at a path shows: at the aliases of the value, and of all that it stands in.

    Arguments:
        text, path, document, file: as for `get_value`.

    Returns:
        The places of those aliases, in order.

    Raises:
        EditRefused: as for `get_value`.
    """
    source = parse(text, file)
    reached = walk(source, document_root(source, path, document), path, follow=False)
    around = {reached.root, *(step.value for step in reached.steps)}
    aliases = (node for node, event in enumerate(source.events) if isinstance(event, AliasEvent))
    return tuple(source.place(source.start(alias)) for alias in aliases if source.anchored(alias) in around)


def equal(source: Source, node: Node, value: Value) -> bool:
    """Whether a node reads as exactly this value, for every reader."""
    event = source.events[node]
    if isinstance(event, AliasEvent):
        return equal(source, source.anchored(node), value)
    if isinstance(event, MappingStartEvent):
        entries = source.entries(node)
        return (
            isinstance(value, Mapping)
            and len(entries) == len(value)
            and not any(is_merge_key(source.events[key]) for key, _ in entries)
            and all(
                (name := key_text(source, key)) in value and equal(source, item, value[name])  # type: ignore[index]
                for key, item in entries
            )
        )
    if isinstance(event, SequenceStartEvent):
        items = source.children(node)
        return is_list(value) and len(items) == len(value) and all(map(partial(equal, source), items, value))
    return not isinstance(value, Mapping) and not is_list(value) and means(event, value)


class _Reader:
    """Builds values out of events; aliases may repeat and nest, but not without end."""

    def __init__(self, source: Source, *, unique: bool = False) -> None:
        self.source = source
        self.unique = unique
        self.nodes = 0

    def read(self, node: Node, inside: tuple[Node, ...]) -> Read:
        source = self.source
        event = source.events[node]
        if isinstance(event, AliasEvent):
            node = source.anchored(node)
            event = source.events[node]
        self._check(node, inside)
        if isinstance(event, SequenceStartEvent):
            return [self.read(item, (*inside, node)) for item in source.children(node)]
        if isinstance(event, MappingStartEvent):
            return self._mapping(node, (*inside, node))
        return read_scalar(event)

    def _mapping(self, node: Node, inside: tuple[Node, ...]) -> dict[str, Read]:
        own: dict[str, Read] = {}
        merged: dict[str, Read] = {}
        for key, value in self.source.entries(node):
            if is_merge_key(self.source.events[key]):
                base = self.read(value, inside)
                for mapping in base if isinstance(base, list) else [base]:
                    if isinstance(mapping, dict):
                        merged = mapping | merged
            else:
                name = self._key(key, inside)
                if self.unique and name in own:
                    raise self.source.refusal(
                        key, f"the key {name!r} stands twice in one mapping", "remove one of the two"
                    )
                own[name] = self.read(value, inside)
        return merged | own if merged else own

    def _key(self, key: Node, inside: tuple[Node, ...]) -> str:
        event = self.source.events[key]
        if isinstance(event, AliasEvent):
            event = self.source.events[self.source.anchored(key)]
        return str(event.value) if hasattr(event, "value") else str(self.read(key, inside))

    def _check(self, node: Node, inside: tuple[Node, ...]) -> None:
        self.nodes += 1
        if node in inside:
            raise self.source.refusal(node, "an alias stands inside what it stands for", "take the alias out")
        if len(inside) > _DEEPEST or self.nodes > _MOST_NODES:
            raise self.source.refusal(
                node,
                f"the value is nested deeper than {_DEEPEST}, or has more than {_MOST_NODES} nodes",
                "ask for a part of it",
            )
