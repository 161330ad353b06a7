"""Put, Insert and Remove: what they write, and that Remove undoes Put to the byte."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from pipegraft.text.yaml import Insert, Path, Put, Remove, apply, get_value
from pipegraft.text.yaml.values import Value

NEW_ENTRIES: list[tuple[str, Path, Value, str]] = [
    ("a: 1\n", ("gray",), {"weight": 5, "web": "x@y"}, "a: 1\ngray:\n  weight: 5\n  web: x@y\n"),
    ("a: 1\n", ("s",), "one\ntwo\n", "a: 1\ns: |\n  one\n  two\n"),
    ("a: 1", ("b",), 2, "a: 1\nb: 2"),
    ("a: 1\r\nc:\r\n  d: 2\r\n", ("b",), {"x": 1}, "a: 1\r\nc:\r\n  d: 2\r\nb:\r\n  x: 1\r\n"),
    ("\ufeffa: 1", ("b",), 2, "\ufeffa: 1\nb: 2"),
    ("a:\n  b: 1\n  # about c\n\nc: 2\n", ("a", "x"), 1, "a:\n  b: 1\n  x: 1\n  # about c\n\nc: 2\n"),
    ("", ("a",), 1, "a: 1\n"),
    ("# only a comment\n", ("a",), 1, "# only a comment\na: 1\n"),
    ("a:\n", ("a", "b"), 1, "a:\n  b: 1\n"),
    ("---\na: 1\n...\n", ("b",), 2, "---\na: 1\nb: 2\n...\n"),
    ("a: |+\n  x\n\n\n", ("b",), 2, "a: |+\n  x\n\n\nb: 2\n"),
    ("a: |\n  x\n\nc: 1\n", ("b",), 2, "a: |\n  x\n\nc: 1\nb: 2\n"),
    ("- a: 1\n- b: 2\n", (0, "x"), [1], "- a: 1\n  x:\n    - 1\n- b: 2\n"),
    ("-\n- b\n", (0, "x"), 1, "- x: 1\n- b\n"),
    ("-  \n- b\n", (0, "x"), {"y": 1}, '- x:\n    "y": 1  \n- b\n'),
    ("a: {}\n", ("a", "x"), {"b": 1}, "a: {x: {b: 1}}\n"),
    ("a: { }\n", ("a", "x"), 1, "a: { x: 1 }\n"),
    ("a: {b: 1}\n", ("a", "x"), "on", 'a: {b: 1, x: "on"}\n'),
    ("a: {b: 1,}\n", ("a", "x"), 2, "a: {b: 1, x: 2,}\n"),
    ('{"a":1,"b":2}\n', ("x",), "v", '{"a":1,"b":2,"x":"v"}\n'),
    ("{\n  a: 1,\n  b: 2 # c\n}\n", ("x",), 1, "{\n  a: 1,\n  b: 2, # c\n  x: 1\n}\n"),
    ("{\n  a: 1,\n  b: 2, # c\n}\n", ("x",), 1, "{\n  a: 1,\n  b: 2, # c\n  x: 1,\n}\n"),
]


@pytest.mark.parametrize(("text", "path", "value", "expected"), NEW_ENTRIES)
def test_put_adds_an_entry_and_remove_restores_the_bytes(
    text: str, path: Path, value: Value, expected: str
) -> None:
    put = apply(text, [Put(path, value)])
    assert put == expected
    assert get_value(put, path) == value
    assert apply(put, [Put(path, value)]) == put
    assert apply(put, [Remove(path)]) == text


NEW_ITEMS: list[tuple[str, Path, int | None, Value, str]] = [
    ("a:\n  - 1 # x\nb: 1\n", ("a",), None, {"k": 1, "v": "z"}, "a:\n  - 1 # x\n  - k: 1\n    v: z\nb: 1\n"),
    ("a:\n  # first\n  - 1\n", ("a",), 0, 3, "a:\n  - 3\n  # first\n  - 1\n"),
    ("a:\n- 1\n- 2\n", ("a",), 1, 3, "a:\n- 1\n- 3\n- 2\n"),
    ("a: [x, y]\n", ("a",), None, "v", "a: [x, y, v]\n"),
    ("a: [x, y]\n", ("a",), 0, "v", "a: [v, x, y]\n"),
    ("a: [\n  x,\n  y\n]", ("a",), 1, "z", "a: [\n  x,\n  z,\n  y\n]"),
    ("- - 1\n  - 2\n", (0,), 0, {"a": 1, "b": 2}, "- - a: 1\n    b: 2\n  - 1\n  - 2\n"),
    ("include:\n", ("include",), None, {"local": "x"}, "include:\n  - local: x\n"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "path", "index", "value", "expected"), NEW_ITEMS)
def test_insert_adds_an_item_and_remove_restores_the_bytes(
    text: str, path: Path, index: int | None, value: Value, expected: str
) -> None:
    inserted = apply(text, [Insert(path, index, value)])
    assert inserted == expected
    items = get_value(inserted, path)
    assert isinstance(items, list)
    at = len(items) - 1 if index is None else index
    assert items[at] == value
    assert apply(inserted, [Remove((*path, at))]) == text


@pytest.mark.parametrize("value", [{"a": "x\ny\n"}, {"a": {"b": "x\n y\n"}}, ["x\ny\n"], "x\ny\n"])
@pytest.mark.parametrize("blanks", ["", "   ", "            ", "   \n\n            "])
@pytest.mark.parametrize("old", ["a\n    b   ", "a   ", "a\n   \n    b", ""])
def test_a_text_block_takes_no_blanks_that_stood_there(old: str, blanks: str, value: Any) -> None:
    text = f"k:\n  - {old}\n{blanks}\n  - c\nz: 1\n"
    made = apply(text, [Put(("k", 0), value)])
    assert yaml.safe_load(made) == {"k": [value, "c"], "z": 1}
    assert made.endswith("\n  - c\nz: 1\n")
    entry = apply(f"k:\n  n: 1\n{blanks}\nz: 1\n", [Put(("k", "m"), value)])
    assert yaml.safe_load(entry) == {"k": {"n": 1, "m": value}, "z": 1}
