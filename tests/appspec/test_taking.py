"""Data taken apart: what nobody took is told."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipegraft.appspec.importing.taking import Taking

VALUES = st.recursive(
    st.text(min_size=1) | st.integers() | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
    ),
    max_leaves=12,
)


def leaves(value: Any) -> int:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 1 if parts is None else sum(map(leaves, parts))


@given(st.dictionaries(st.text("abc", min_size=1), VALUES, max_size=4), st.data())
def test_every_value_is_taken_or_told(data: dict[str, Any], draw: st.DataObject) -> None:
    taking = Taking(data, "file")
    taken = 0
    for key in data:
        if draw.draw(st.booleans()):
            taken += leaves(taking.take(key))
    assert len(list(taking.left())) == leaves(data) - taken


def test_it_says_where_and_what() -> None:
    taking = Taking({"a": [{"b": 1}, {"b": False}], "c": {}}, "x.yaml")
    assert taking.take("a", 0, "b") == 1
    assert taking.take("a", 7) is None
    assert list(taking.left()) == ["x.yaml: a[1].b: False"]
    assert taking.keys("a") == [0, 1]
    assert not taking.take_if(("a", 1, "b"), True)
    assert taking.take_if(("a", 1, "b"), False)
    assert list(taking.left()) == []


def test_empty_values_that_say_something_are_told() -> None:
    taking = Taking({"emptyDir": {}, "status": {}, "a": [{"podSelector": {}}, {"emptyDir": {"b": 1}}]}, "x")
    taking.take("a", 1, "emptyDir", "b")
    assert list(taking.left()) == ["x: emptyDir: {}", "x: a[0].podSelector: {}"]
    assert taking.take_if(("emptyDir",), {})
    assert list(taking.left()) == ["x: a[0].podSelector: {}"]


def test_the_places_of_an_alias_are_taken_apart_from_each_other() -> None:
    shared = {"a": 1}
    part = Taking({"one": shared, "other": shared}, "x")
    assert part.take("one", "a") == 1
    assert list(part.left()) == ["x: other.a: 1"]
    assert shared == {"a": 1}
