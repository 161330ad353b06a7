"""From an edit to the change of text and events that makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from yaml.events import AliasEvent, CollectionStartEvent, MappingStartEvent, ScalarEvent, SequenceStartEvent

from pipegraft.core.errors import EditRefused
from pipegraft.text.yaml import entries
from pipegraft.text.yaml.changes import Change
from pipegraft.text.yaml.layout import is_empty, is_flow
from pipegraft.text.yaml.paths import (
    Path,
    Step,
    Walk,
    entry_of,
    format_path,
    is_merge_key,
    key_text,
    keys_of,
    walk,
)
from pipegraft.text.yaml.reading import document_root, equal, missing
from pipegraft.text.yaml.setting import (
    check_unused,
    clear,
    create_document,
    fill,
    replace_in_flow,
    set_empty,
    set_scalar,
)
from pipegraft.text.yaml.source import Node, Source
from pipegraft.text.yaml.values import Scalar, Value, is_list, means

__all__ = ["Policy", "plan_insert", "plan_put", "plan_remove", "plan_set"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What to do where an edit could mean more than one thing.

    Arguments:
        document: the number of the document meant, from 0.
        on_alias: what to do with a value that is an alias.
        on_inherited: what to do with a key that comes through ``<<``.
    """

    document: int | None = None
    on_alias: Literal["refuse", "detach"] = "refuse"
    on_inherited: Literal["refuse", "add"] = "refuse"


def plan_set(source: Source, path: Path, value: Scalar, policy: Policy) -> Change | None:
    """Plan the replacement of a scalar; None if the value is there already."""
    reached = _reach(source, path, policy)
    if not reached.complete:
        raise missing(source, reached)
    if _holds(source, reached, value):
        return None
    if isinstance(source.events[reached.node], CollectionStartEvent):
        kind = "mapping" if isinstance(source.events[reached.node], MappingStartEvent) else "sequence"
        raise source.refusal(
            reached.node,
            f"{format_path(path)} is a {kind}, and only a single value can be set",
            f"name a value inside it, such as {format_path((*path, _first_inside(source, reached.node)))}",
        )
    if reached.inherited is not None:
        return _override(source, reached, value, policy)
    _check_alias(source, reached, policy)
    return set_scalar(source, reached.steps, reached.node, value)


def _first_inside(source: Source, node: Node) -> str | int:
    if isinstance(source.events[node], MappingStartEvent):
        return next(iter(keys_of(source, node)), "KEY")
    return 0


def _holds(source: Source, reached: Walk, value: Value) -> bool:
    """Whether a scalar value is there already, through whatever alias."""
    if isinstance(value, Mapping) or is_list(value):
        return False
    event = source.events[reached.node]
    if isinstance(event, AliasEvent):
        event = source.events[source.anchored(reached.node)]
    return means(event, value)


def plan_put(source: Source, path: Path, value: Value, policy: Policy) -> Change | None:
    """Plan the next step towards a mapping entry with a value; None if it is there already."""
    if not source.documents and policy.document in {None, 0}:
        return create_document(source, _nested(path, value))
    reached = _reach(source, path, policy)
    if reached.complete and _holds(source, reached, value):
        return None
    if reached.inherited is not None:
        return _override(source, reached, value, policy)
    if reached.complete:
        return _adjust(source, reached, value, policy)
    rest = path[len(reached.done) :]
    if not all(isinstance(part, str) for part in rest):
        raise missing(source, reached)
    if isinstance(source.events[reached.node], MappingStartEvent):
        return _append(source, reached.node, str(rest[0]), _nested(rest[1:], value))
    event = source.events[reached.node]
    if isinstance(event, ScalarEvent) and means(event, None):
        return _write_over(source, reached, _nested(rest, value))
    raise missing(source, reached)


def _nested(path: Path, value: Value) -> Value:
    if not path:
        return value
    key, *rest = path
    if isinstance(key, str):
        return {key: _nested(tuple(rest), value)}
    raise EditRefused(f"the index {key} is missing and cannot be made", fix="put the whole sequence instead")


def _adjust(source: Source, reached: Walk, value: Value, policy: Policy) -> Change | None:
    """The next step from what stands at a path to the value it should have; None if they are equal."""
    node, event = reached.node, source.events[reached.node]
    if equal(source, node, value):
        return None
    _check_alias(source, reached, policy)
    if isinstance(value, Mapping) and isinstance(event, MappingStartEvent):
        return _adjust_mapping(source, reached, value, policy)
    if is_list(value) and isinstance(event, SequenceStartEvent):
        return _adjust_sequence(source, reached, value, policy)
    if isinstance(event, CollectionStartEvent):
        return _write_over(source, reached, value)
    if not isinstance(value, Mapping) and not is_list(value):
        return set_scalar(source, reached.steps, node, value)
    if not value:
        return set_empty(source, reached.steps, node, value)
    return _write_over(source, reached, value)


def _adjust_mapping(
    source: Source, reached: Walk, value: Mapping[str, Value], policy: Policy
) -> Change | None:
    node = reached.node
    for key, item in source.entries(node):
        if is_merge_key(source.events[key]):
            raise source.refusal(
                key, f"{format_path(reached.path)} holds a merge key, '<<'", "put its entries one by one"
            )
        if key_text(source, key) not in value:
            return _take_out(source, reached.path, Step(node, key, item))
    for name, wish in value.items():
        entry = entry_of(source, node, name)
        if entry is None:
            return _append(source, node, name, wish)
        change = _adjust(source, _deeper(reached, Step(node, *entry), name), wish, policy)
        if change:
            return change
    return None


def _adjust_sequence(source: Source, reached: Walk, value: Sequence[Value], policy: Policy) -> Change | None:
    node = reached.node
    items = source.children(node)
    for index, (item, new) in enumerate(zip(items, value, strict=False)):
        change = _adjust(source, _deeper(reached, Step(node, None, item), index), new, policy)
        if change:
            return change
    if len(items) > len(value):
        return _take_out(source, reached.path, Step(node, None, items[-1]))
    return _add_item(source, node, len(items), value[len(items)]) if len(items) < len(value) else None


def _deeper(reached: Walk, step: Step, part: str | int) -> Walk:
    return Walk(reached.root, (*reached.path, part), (*reached.steps, step))


def _write_over(source: Source, reached: Walk, value: Value) -> Change:
    """Replace a value by one of another kind: what stands there goes first, then the new value comes."""
    node = reached.node
    if is_empty(source, node):
        return fill(source, reached.steps, node, value)
    check_unused(source, node, source.closing[node], reached.path)
    if not reached.steps:
        raise source.refusal(node, "the whole document would be replaced", "write the file anew")
    if is_flow(source, reached.steps[-1].container):
        return replace_in_flow(source, node, value)
    return clear(source, reached.steps[-1])


def plan_insert(source: Source, path: Path, index: int | None, value: Value, policy: Policy) -> Change:
    """Plan a new item of a sequence."""
    reached = _reach(source, path, policy)
    if not reached.complete:
        raise missing(source, reached)
    if reached.inherited is not None:
        raise _inherited(source, reached)
    _check_alias(source, reached, policy)
    node = reached.node
    if is_empty(source, node) and index in {None, 0}:
        return fill(source, reached.steps, node, [value])
    if not isinstance(source.events[node], SequenceStartEvent):
        raise source.refusal(
            node, f"{format_path(path)} is no sequence, so nothing can be inserted", "name a sequence"
        )
    count = len(source.children(node))
    at = count if index is None else index
    if not 0 <= at <= count:
        raise source.refusal(
            node,
            f"{format_path(path)} has {count} items, so none can become number {at}, counted from 0",
            "append it",
        )
    return _add_item(source, node, at, value)


def plan_remove(source: Source, path: Path, policy: Policy) -> Change:
    """Plan the removal of an entry."""
    reached = _reach(source, path, policy)
    if not reached.complete:
        raise missing(source, reached)
    if not reached.steps:
        raise source.refusal(reached.root, "the root of a document cannot be removed", "name an entry")
    if reached.inherited is not None:
        raise _inherited(source, reached)
    return _take_out(source, path, reached.steps[-1])


def _take_out(source: Source, path: Path, step: Step) -> Change:
    first = step.value if step.key is None else step.key
    check_unused(source, first, source.closing[step.value], path)
    if is_flow(source, step.container):
        return _possible(source, step.container, entries.remove_from_flow(source, step))
    return entries.remove_entry(source, step)


def _append(source: Source, mapping: Node, key: str, value: Value) -> Change:
    if is_flow(source, mapping):
        return _possible(source, mapping, entries.append_pair(source, mapping, key, value))
    return entries.append_entry(source, mapping, key, value)


def _add_item(source: Source, sequence: Node, index: int, value: Value) -> Change:
    if is_flow(source, sequence):
        return _possible(source, sequence, entries.insert_flow_item(source, sequence, index, value))
    return entries.insert_item(source, sequence, index, value)


def _possible(source: Source, node: Node, change: Change | None) -> Change:
    if change is None:
        raise source.refusal(
            node,
            "a single pair without braces inside [ ] takes no other entry",
            "write braces around the pair",
        )
    return change


def _reach(source: Source, path: Path, policy: Policy) -> Walk:
    """Follow a path for writing: nothing may be changed through an alias."""
    root = document_root(source, path, policy.document)
    reached = walk(source, root, path, follow=False)
    if reached.alias is not None:
        anchor = source.anchored(reached.alias)
        name, line = source.events[anchor].anchor, source.place(source.start(anchor)).line
        raise source.refusal(
            reached.alias,
            f"{format_path(reached.done)} is the alias *{name}, and what is inside it belongs to line {line}",
            f"make the change where &{name} stands, or write values of its own in place of the alias",
        )
    return reached


def _check_alias(source: Source, reached: Walk, policy: Policy) -> None:
    event = source.events[reached.node]
    if isinstance(event, AliasEvent) and policy.on_alias == "refuse":
        raise source.refusal(
            reached.node,
            f"{format_path(reached.path)} is the alias *{event.anchor}",
            f"set the value that &{event.anchor} stands at, or ask for the alias to be detached",
        )


def _override(source: Source, reached: Walk, value: Value, policy: Policy) -> Change:
    """Write an inherited key into the mapping itself, if that is asked for and means what it says."""
    if policy.on_inherited == "add" and reached.inherited == len(reached.path) - 1:
        return _append(source, reached.steps[-1].container, str(reached.path[-1]), value)
    raise _inherited(source, reached)


def _inherited(source: Source, reached: Walk) -> EditRefused:
    number = reached.inherited or 0
    step, path = reached.steps[number], reached.path[: number + 1]
    line = source.place(source.start(step.value)).line
    if reached.path == path:
        fix = f"change it where it stands, in line {line}, or ask for it to be added to the mapping itself"
    else:
        fix = f"change it where it stands, in line {line}: a merge takes whole values, no part can be added"
    what = f"{format_path(path)} comes from another mapping, through '<<'"
    return source.refusal(step.container, what, fix)
