"""Following a path through the events of a document."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from yaml.events import AliasEvent, MappingStartEvent, ScalarEvent, SequenceStartEvent

from pipegraft.text.yaml.paths import Path, Where
from pipegraft.text.yaml.source import Event, Node, Source

__all__ = [
    "Step",
    "Walk",
    "entry_of",
    "entry_text",
    "is_merge_key",
    "key_text",
    "keys_of",
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
