"""Following a path through the events of a document."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from yaml.events import AliasEvent, MappingStartEvent, ScalarEvent, SequenceStartEvent

from pipegraft.errors import EditRefused, Place
from pipegraft.text.yaml.layout import content_end, content_start
from pipegraft.text.yaml.paths import Path, format_path
from pipegraft.text.yaml.source import Event, Node, Source, Span, parse

__all__ = [
    "Step",
    "Walk",
    "document_root",
    "entry_of",
    "has_path",
    "is_merge_key",
    "key_text",
    "keys_of",
    "locate",
    "missing",
    "reach",
    "walk",
]


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


def locate(
    text: str, path: Path, *, document: int | None = None, key: bool = False, file: str = "<text>"
) -> Span:
    """Where the value at a path stands, through aliases and merge keys.

    Arguments:
        text: the YAML text.
        path: keys and indexes.
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
        path: keys and indexes.
        document: the number of the document, from 0; any document if it is not given.
        file: name for error messages.

    Raises:
        EditRefused: the text does not parse, or has a key of the path twice.
    """
    source = parse(text, file)
    starts = source.documents if document is None else source.documents[document : document + 1]
    return any(walk(source, start + 1, path, follow=True).complete for start in starts)


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


def walk(source: Source, root: Node, path: Path, *, follow: bool) -> Walk:
    """Follow a path as far as it exists.

    Arguments:
        source: the text.
        root: where to start.
        path: keys and indexes.
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


def _step(source: Source, node: Node, part: str | int, merging: tuple[Node, ...] = ()) -> Step | None:
    if node in merging:
        raise source.refusal(node, "a mapping is merged into itself", "take the merge key out")
    event = source.events[node]
    if isinstance(event, SequenceStartEvent) and isinstance(part, int):
        items = source.children(node)
        return Step(node, None, items[part]) if part < len(items) else None
    if isinstance(event, MappingStartEvent) and isinstance(part, str):
        if entry := entry_of(source, node, part):
            return Step(node, *entry)
        for base in _bases(source, node):
            if (step := _step(source, base, part, (*merging, node))) is not None:
                return Step(node, step.key, step.value, inherited=True)
    return None


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


def missing(source: Source, reached: Walk) -> EditRefused:
    """The error for a path that ends early: what exists, what is there, what may have been meant."""
    path, done = reached.path, reached.done
    part = path[len(done)]
    event = source.events[reached.node]
    here = f"{format_path(done)} is" if done else "the document is"
    if isinstance(event, MappingStartEvent) and isinstance(part, str):
        keys = keys_of(source, reached.node)
        near = difflib.get_close_matches(part, keys, n=1)
        fix = f"did you mean {format_path((*done, near[0]))}?" if near else _there(keys)
        what = f"{here} a mapping without the key {part!r}"
    elif isinstance(event, SequenceStartEvent) and isinstance(part, int):
        count = len(source.children(reached.node))
        what = f"{here} a sequence of {count}, counted from 0"
        fix = f"take an index from 0 to {count - 1}" if count else "add an item first"
    elif isinstance(event, MappingStartEvent):
        what, fix = (
            f"{here} a mapping, and {part} is an index",
            f"write the key as {format_path((*done, str(part)))}",
        )
    elif isinstance(event, SequenceStartEvent):
        what, fix = f"{here} a sequence, and {part!r} is a key", "write an index, [0] for the first item"
    else:
        what, fix = f"{here} a single value, nothing is inside it", f"let the path end at {format_path(done)}"
    return source.refusal(reached.node, f"{format_path(path)} is missing: {what}", fix)


def _there(keys: list[str]) -> str:
    shown = ", ".join(keys[:12]) + (", …" if len(keys) > 12 else "")
    return f"the keys there are: {shown}" if keys else "there are no keys"
