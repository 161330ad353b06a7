"""For any document and any edit: what was meant changes, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from yaml import YAMLError
from yaml.events import AliasEvent, MappingStartEvent, ScalarEvent, SequenceStartEvent
from yaml_documents import documents, events, is_same_around, nodes

from pipegraft.core.errors import EditRefused
from pipegraft.text.yaml import Edit, Insert, Path, Put, Remove, Set, apply, get_value, set_values

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
SCALARS = st.one_of(
    st.sampled_from(
        ["v2", "sha256:0a", "1.10", "on", "", "a: b", " x", "two\nlines\n", "#", "[", "x\n", "1\n\n"]
    ),
    TEXT,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
quick = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def chosen(data: st.DataObject, text: str, *kinds: type) -> tuple[int, Path, int, Any]:
    """One node of these kinds that a path leads to, and only one."""
    found = list(nodes(text))
    paths = [(document, path) for document, path, _, _ in found]
    candidates = [node for node in found if isinstance(node[3], kinds) and paths.count(node[:2]) == 1]
    assume(candidates)
    return data.draw(st.sampled_from(candidates))


def applied(text: str, edit: Edit, document: int) -> str | None:
    """The edited text; None where the one reason stands in the way that may."""
    try:
        return apply(text, [edit], document=document)
    except EditRefused as refusal:
        if "inside this text block" in str(refusal) and not text.endswith("\n"):
            return None
        raise


def same_value(one: Any, other: Any) -> bool:
    return repr(one) == repr(other)  # tells 1 from True and takes NaN for NaN


def is_inserted(old: list[Any], new: list[Any]) -> bool:
    """Whether the new events are the old ones with some more at one place."""
    added = len(new) - len(old)
    return added > 0 and any(new[:at] + new[at + added :] == old for at in range(len(old)))


@quick
@given(documents(), SCALARS, st.data())
def test_set_changes_one_scalar_and_no_other_byte(text: str, value: Any, data: st.DataObject) -> None:
    document, path, index, event = chosen(data, text, ScalarEvent)
    before = get_value(text, path, document=document)
    assume(event.tag is None or isinstance(value, str))  # a tag says what may stand behind it
    after = set_values(text, {path: value}, document=document)
    old, new = events(text), events(after)
    assert old[:index] == new[:index]
    assert old[index + 1 :] == new[index + 1 :]
    assert same_value(get_value(after, path, document=document), value)
    assert is_same_around(text, after, event)
    assert set_values(after, {path: value}, document=document) == after
    undone = set_values(after, {path: before}, document=document)
    assert same_value(get_value(undone, path, document=document), before)
    assert events(undone)[:index] == old[:index]
    assert events(undone)[index + 1 :] == old[index + 1 :]


@quick
@given(documents(), VALUES, st.data())
def test_put_then_remove_restores_every_byte(text: str, value: Any, data: st.DataObject) -> None:
    document, path, _, _ = chosen(data, text, MappingStartEvent)
    key = data.draw(st.sampled_from(["gray", "new key", "y", "*", "a: b"]) | TEXT)
    assume(key not in get_value(text, path, document=document))
    put = applied(text, Put((*path, key), value), document)
    assume(put is not None)
    assert put is not None
    old, new = events(text), events(put)
    assert is_inserted(old, new)
    assert same_value(get_value(put, (*path, key), document=document), value)
    assert apply(put, [Put((*path, key), value)], document=document) == put
    assert apply(put, [Remove((*path, key))], document=document) == text


@quick
@given(documents(), VALUES, st.data())
def test_insert_then_remove_restores_every_byte(text: str, value: Any, data: st.DataObject) -> None:
    document, path, _, _ = chosen(data, text, SequenceStartEvent)
    items = get_value(text, path, document=document)
    assert isinstance(items, list)
    at = data.draw(st.integers(0, len(items)))
    inserted = applied(text, Insert(path, at, value), document)
    assume(inserted is not None)
    assert inserted is not None
    assert is_inserted(events(text), events(inserted))
    assert same_value(get_value(inserted, (*path, at), document=document), value)
    assert apply(inserted, [Remove((*path, at))], document=document) == text


REASONS = (
    "inside this text block",
    "is the alias",
    "which line",
    "merge key",
    "the tag",
    "the whole document",
    "no colon",
    "only be given a mapping",
    "nothing would be left",
)


@quick
@given(documents(), VALUES, st.data())
def test_put_makes_any_value_any_other_and_touches_nothing_else(
    text: str, value: Any, data: st.DataObject
) -> None:
    document, path, index, _ = chosen(data, text, ScalarEvent, MappingStartEvent, SequenceStartEvent)
    try:
        after = apply(text, [Put(path, value)], document=document)
    except EditRefused as refusal:
        assume(not any(reason in str(refusal) for reason in REASONS))
        assume("\t#" not in text)  # 'key:' and '-' cannot have a tab and a comment behind them
        raise
    assert same_value(get_value(after, path, document=document), value)
    assert apply(after, [Put(path, value)], document=document) == after
    old, new = events(text), events(after)
    rest = len(old) - behind(old, index)
    assert old[:index] == new[:index]
    assert old[len(old) - rest :] == new[len(new) - rest :]


@quick
@given(documents(), st.data())
def test_remove_takes_one_entry_and_nothing_else(text: str, data: st.DataObject) -> None:
    document, path, index, _ = chosen(
        data, text, ScalarEvent, MappingStartEvent, SequenceStartEvent, AliasEvent
    )
    assume(path)
    try:
        after = apply(text, [Remove(path)], document=document)
    except EditRefused as refusal:
        assume(not any(reason in str(refusal) for reason in (*REASONS, "single pair")))
        raise
    old, new = events(text), events(after)
    first, last = index - isinstance(path[-1], str), behind(old, index)
    only = old[first - 1][0] != "DocumentStartEvent" and old[last][0] in {
        "MappingEndEvent",
        "SequenceEndEvent",
    }
    only = only and old[first - 1][0] in {"MappingStartEvent", "SequenceStartEvent"}
    if only:  # nothing is left of a block collection, and empty brackets of one in brackets
        assert new[: first - 2] == old[: first - 2]
        assert len(new) - len(old) in {first - last, first - last - 1, first - last - 4}
        assert old[last + 2 :] == new[len(new) - len(old) + last + 2 :]
    else:
        assert new == old[:first] + old[last:]
    characters = iter(text)
    assert all(character in characters for character in after)  # nothing new, nothing moved


def behind(events: list[Any], index: int) -> int:
    """The index behind the node that starts at an index."""
    depth = 0
    while True:
        depth += events[index][0].endswith("StartEvent") - events[index][0].endswith("EndEvent")
        index += 1
        if not depth:
            return index


@quick
@given(documents(), st.data())
def test_damaged_texts_are_edited_right_or_refused(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        junk = data.draw(
            st.sampled_from(
                [
                    "",
                    "\n",
                    " ",
                    "  ",
                    "\t",
                    "#",
                    "- ",
                    ": ",
                    "'",
                    '"',
                    "{",
                    "]",
                    "&x ",
                    "*x",
                    "<<: *x",
                    "---\n",
                    "? ",
                ]
            )
        )
        text = text[:at] + junk + text[at + data.draw(st.integers(0, 3)) :]
    try:
        found = list(nodes(text))
    except YAMLError:
        with pytest.raises(EditRefused):
            set_values(text, {("a",): 1})
        return
    assume(found)
    document, path, _, _ = data.draw(st.sampled_from(found))
    edit = data.draw(
        st.sampled_from(
            [
                Set(path, "v2"),
                Put(path, "v2"),
                Put((*path, "new"), {"k": [1]}),
                Remove(path),
                Insert(path, 0, [1]),
            ]
        )
    )
    try:
        after = apply(text, [edit], document=document)
    except EditRefused:
        return
    if isinstance(edit, Put | Set):
        assert get_value(after, edit.path, document=document) == edit.value
    assert list(nodes(after)) or isinstance(edit, Remove)
