"""Changes as data, and the proof that they did what was meant and nothing else.

A change says twice what it does: which stretches of the text are replaced, and which events that must
replace. The new text is parsed again, and its events must be the old ones with exactly these replaced.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from pipegraft.core.errors import EditRefused
from pipegraft.text.yaml.source import Event, Node, Source, read_events
from pipegraft.text.yaml.values import Scalar, Value, is_list, means

__all__ = ["Change", "Replaced", "Wanted", "alike", "make", "wanted"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An event that a change makes.

    Arguments:
        kind: the event's type.
        value: what every reader must understand, if it is a scalar.
        anchor: its anchor.
        tag: its tag.
    """

    kind: type
    value: Scalar = None
    anchor: str | None = None
    tag: str | None = None

    def matches(self, event: Event) -> bool:
        """Whether the event is what was wanted."""
        if type(event) is not self.kind:
            return False
        if (getattr(event, "anchor", None), getattr(event, "tag", None)) != (self.anchor, self.tag):
            return False
        return self.kind is not ScalarEvent or means(event, self.value)


def wanted(value: Value) -> list[Wanted]:
    """The events that a value must become."""
    if isinstance(value, Mapping):
        inside = [event for key, item in value.items() for event in (*wanted(key), *wanted(item))]
        return [Wanted(MappingStartEvent), *inside, Wanted(MappingEndEvent)]
    if is_list(value):
        inside = [event for item in value for event in wanted(item)]
        return [Wanted(SequenceStartEvent), *inside, Wanted(SequenceEndEvent)]
    return [Wanted(ScalarEvent, value)]


@dataclass(frozen=True, slots=True)
class Replaced:
    """A stretch of the text and what stands there instead."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Change:
    """One change.

    Arguments:
        texts: the stretches replaced, in order.
        first: the first event replaced.
        last: behind the last event replaced; equal to `first` where events are only added.
        events: what stands there instead.
    """

    texts: tuple[Replaced, ...]
    first: Node
    last: Node
    events: tuple[Wanted, ...]


def make(source: Source, changes: Iterable[Change]) -> str:
    """Make changes, from the end, and prove them.

    Arguments:
        source: the text they were planned on.
        changes: changes that do not overlap.

    Returns:
        The new text, its byte-order mark included.

    Raises:
        EditRefused: two changes overlap, or the new text does not say what it should.
    """
    ordered = sorted(changes, key=lambda change: (change.first, change.last))
    # Stable: what is added at one position keeps its order.
    texts = sorted((text for one in ordered for text in one.texts), key=lambda text: (text.start, text.end))
    if any(one.end > other.start for one, other in pairwise(texts)):
        raise EditRefused(
            "two edits change the same place",
            place=source.place(texts[0].start),
            fix="make them one after the other",
        )
    new = _spliced(source.text, texts, 0, len(source.text))
    if new != source.text:
        _prove(source, ordered, texts, new)
    return source.bom + new


def _spliced(text: str, texts: Sequence[Replaced], start: int, end: int) -> str:
    pieces, at = [], start
    for replaced in texts:
        pieces += [text[at : replaced.start], replaced.text]
        at = replaced.end
    return "".join((*pieces, text[at:end]))


def _prove(source: Source, changes: Sequence[Change], texts: Sequence[Replaced], new: str) -> None:
    grown = sum(len(change.events) - (change.last - change.first) for change in changes)
    window = _window(source, changes, texts)
    try:
        if window is None:
            right = _agree(source.events, 0, changes, read_events(new))
        else:
            right = _proved_in(source, window, changes, texts)
            right = right and yaml.CSafeLoader(new).raw_parse() == len(source.events) + grown
    except (EditRefused, yaml.YAMLError):
        right = False
    if not right:
        raise EditRefused(
            "the edit would change the meaning of more than the place it was meant for",
            place=source.place(texts[0].start),
            fix="make this edit by hand",
        )


@dataclass(frozen=True, slots=True)
class _Window:
    """Whole entries of a document's root mapping: events ``first`` to ``last``, text ``start`` to ``end``.

    At a key in column 0 of a block mapping libyaml's parser always is in the same state, so the entries
    parse alone as they do in the file, and what follows parses as before if a key can follow.
    """

    first: Node
    last: Node
    start: int
    end: int


_SENTINEL = "sentinel"


def _window(source: Source, changes: Sequence[Change], texts: Sequence[Replaced]) -> _Window | None:
    """The root entries that hold all changes, unless that cannot be told for sure."""
    start = source.documents[source.document_of(changes[0].first)] if source.documents else 0
    root = start + 1
    root_event = source.events[root]
    directives = isinstance(source.events[start], DocumentStartEvent) and source.events[start].tags
    if directives or not isinstance(root_event, MappingStartEvent) or root_event.flow_style:
        return None
    keys = source.children(root)[::2]
    if not _starts_line(source, keys[0]):
        return None
    # One entry more than needed in front: what is left of the window must not be empty.
    low = max(0, bisect_right(keys, changes[0].first) - 2)
    high = bisect_right(keys, max(changes[-1].first, changes[-1].last - 1))
    behind = keys[high] if high < len(keys) else len(source.events)
    if behind < changes[-1].last or (low == 0 and high == len(keys)):
        return None
    if not _starts_line(source, keys[low]) or (high < len(keys) and not _starts_line(source, behind)):
        return None
    end = source.start(behind) if behind < len(source.events) else len(source.text)
    window = _Window(keys[low], behind, source.start(keys[low]), end)
    inside = window.start <= texts[0].start and texts[-1].end <= window.end
    return window if inside else None


def _starts_line(source: Source, key: Node) -> bool:
    return bool(source.events[key].start_mark.column == 0)


def _proved_in(source: Source, window: _Window, changes: Sequence[Change], texts: Sequence[Replaced]) -> bool:
    chunk = _spliced(source.text, texts, window.start, window.end)
    at_end = window.last == len(source.events)
    events = read_events(chunk if at_end else f"{chunk}{_SENTINEL}:\n")
    # In front of the entries stand the stream, a document without marker and its mapping.
    if len(events) < 8 or not isinstance(events[2], MappingStartEvent) or events[2].flow_style:
        return False
    if at_end:
        return _agree(source.events, window.first, changes, events[3:])
    sentinel = events[-5]  # behind it: its value, and the ends of mapping, document and stream
    follows = sentinel.start_mark.index == len(chunk) and isinstance(sentinel, ScalarEvent)
    return follows and _agree(source.events[: window.last], window.first, changes, events[3:-5])


def _agree(old: Sequence[Event], at: int, changes: Sequence[Change], new: Sequence[Event]) -> bool:
    """Whether the new events are the old ones from an index on, with the changes made."""
    reached = 0
    for change in changes:
        same = change.first - at
        if not _equal(old[at : change.first], new[reached : reached + same]):
            return False
        reached += same
        made = new[reached : reached + len(change.events)]
        if len(made) != len(change.events):
            return False
        if not all(want.matches(event) for want, event in zip(change.events, made, strict=True)):
            return False
        reached += len(made)
        at = change.last
    return _equal(old[at:], new[reached:])


def _equal(one: Sequence[Event], other: Sequence[Event]) -> bool:
    return len(one) == len(other) and all(map(alike, one, other))


def alike(one: Event, other: Event) -> bool:
    """Whether two events say the same, in the same style."""
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is ScalarEvent:
        return bool(
            one.value == other.value
            and one.style == other.style
            and one.anchor == other.anchor
            and one.tag == other.tag
            and one.implicit == other.implicit
        )
    return all(getattr(one, name, None) == getattr(other, name, None) for name in _ATTRIBUTES.get(kind, ()))


_COLLECTION = ("anchor", "tag", "implicit", "flow_style")
_ATTRIBUTES: dict[type, tuple[str, ...]] = {
    AliasEvent: ("anchor",),
    MappingStartEvent: _COLLECTION,
    SequenceStartEvent: _COLLECTION,
    DocumentStartEvent: ("explicit", "version", "tags"),
    DocumentEndEvent: ("explicit",),
}
