"""Renderings compared: every difference is found, and said with what was there and what is."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipegraft.appspec.rendering.differences import compare

NAMES = st.sampled_from(["a", "b", "c", "app.example.com/x"])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(0, 3), st.text("xy", max_size=2))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.dictionaries(NAMES, inner, max_size=3),
        st.lists(inner, max_size=3),
        st.lists(st.fixed_dictionaries({"name": NAMES, "value": inner}), max_size=3),
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from(["Deployment a", "Service a"]), st.dictionaries(NAMES, VALUES))


@given(OBJECTS, OBJECTS)
def test_there_is_a_change_exactly_where_there_is_a_difference(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    changes = {change.name: change for change in compare(before, after)}
    differing = {name for name in before.keys() | after.keys() if not same(before, after, name)}
    assert changes.keys() == differing
    for change in changes.values():
        assert (change.kind == "changed") == bool(change.fields)


def same(before: dict[str, Any], after: dict[str, Any], name: str) -> bool:
    return (name in before and name in after and repr(before[name]) == repr(after[name])) or (
        name in before and name in after and ordered(before[name]) == ordered(after[name])
    )


def ordered(value: Any) -> Any:
    """Comparable with types, so that 1 is not True; the order of keys has no meaning."""
    if isinstance(value, dict):
        return ("mapping", sorted((key, ordered(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("list", [ordered(item) for item in value])
    return (type(value).__name__, str(value))


def test_items_are_found_by_name_wherever_they_stand() -> None:
    before = {"x": {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}}
    after = copy.deepcopy(before)
    after["x"]["env"].insert(0, {"name": "C", "value": "3"})
    (change,) = compare(before, after)
    assert [(field.path, field.kind, field.after) for field in change.fields] == [
        ("env[C]", "added", {"name": "C", "value": "3"})
    ]


def test_a_new_order_is_a_difference() -> None:
    before = {"x": {"items": [{"name": "a"}, {"name": "b"}]}}
    (change,) = compare(before, {"x": {"items": [{"name": "b"}, {"name": "a"}]}})
    assert [field.path for field in change.fields] == ["items (order)"]
