"""Reading values and finding where they stand."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yaml.events import ScalarEvent
from yaml_documents import documents, events, is_same_around, nodes

from pipegraft.core.errors import EditRefused
from pipegraft.text.yaml import aliases_of, get_text, get_value, has_path, locate, parse_path, set_values

CONFORMANCE = Path(os.environ.get("PIPEGRAFT_CONFORMANCE", Path(__file__).parents[3] / "shared/conformance"))


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("v", "v"), ("'1'", "1"), ("1", 1), ("-1", -1), ("0x1F", 31), ("1.5", 1.5), ("1.0e+3", 1000.0),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), (".inf", math.inf),
        ("!!str 1", "1"), ('!!int "1"', 1), ("!local 1", "1"), ("[1, [b]]", [1, ["b"]]),
        ("{a: {b: }}", {"a": {"b": None}}),
        # readers disagree about these, so they are what stands there
        ("yes", "yes"), ("on", "on"), ("1e3", "1e3"), ("0123", "0123"), ("0o17", "0o17"), ("1:20", "1:20"),
        ("1_000", "1_000"), ("2024-01-01", "2024-01-01"),
    ],
)  # fmt: skip
def test_a_value_is_typed_where_readers_agree(written: str, value: Any) -> None:
    read = get_value(f"a: {written}\n", ("a",))
    assert read == value
    assert type(read) is type(value)


MERGED = """
base: &base {image: v1, tag: &t x, env: {A: 1}}
other: &other
  tag: y
  more: 2
one: {<<: *base, image: v2}
both:
  <<: [*other, *base]
  "<<": text
  own: *t
"""


def test_aliases_and_merge_keys_are_followed() -> None:
    assert get_value(MERGED, ("one",)) == {"image": "v2", "tag": "x", "env": {"A": 1}}
    assert get_value(MERGED, ("both",)) == {
        "image": "v1", "tag": "y", "env": {"A": 1}, "more": 2, "<<": "text", "own": "x",
    }  # fmt: skip
    assert get_value(MERGED, ("both", "env", "A")) == 1
    assert get_value(MERGED, ("both", "tag")) == "y"
    assert get_value(MERGED, ("both", "own")) == "x"
    assert locate(MERGED, ("one", "env", "A")).line == 2
    assert has_path(MERGED, ("both", "more"))
    assert not has_path(MERGED, ("one", "more"))


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "a: &a {<<: *a}", "&a {x: [*a]}"])
def test_an_alias_inside_itself_is_refused(text: str) -> None:
    with pytest.raises(EditRefused, match="an alias stands inside what it stands for"):
        get_value(text, ())


def test_items_are_found_by_what_they_hold() -> None:
    text = "l:\n- {n: a, v: 1}\n- &x {n: b, v: 2}\n- <<: *x\n  n: c\n- plain\n- *x\n"
    assert [get_value(text, parse_path(f"l[n={name}].v")) for name in "ac"] == [1, 2]
    with pytest.raises(EditRefused, match="two items have the n 'b'"):
        get_value(text, parse_path("l[n=b].v"))


def test_the_aliases_of_a_value_are_named() -> None:
    text = "a: &a {b: &b [1, &c x]}\nd: *a\ne: *b\nf: &a {b: *c }\ng: *a\n"
    places = {
        path: [place.line for place in aliases_of(text, parse_path(path))] for path in ("a.b[1]", "a", "f.b")
    }
    assert places == {"a.b[1]": [2, 3, 4], "a": [2], "f.b": [5]}


def test_a_mapping_merged_into_itself_is_refused() -> None:
    with pytest.raises(EditRefused, match="a mapping is merged into itself"):
        has_path("a: &a {<<: *a}", ("a", "k"))


def test_aliases_that_grow_without_end_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1} '] * 10)}]" for n in range(1, 12)]
    with pytest.raises(EditRefused, match="more than 1000000 nodes"):
        get_value("\n".join(lines), ("a11",))


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(EditRefused, match="more than 100 levels"):
        get_value("[" * 1000 + "]" * 1000, ())


def test_text_is_what_shells_want() -> None:
    text = "a: 1.10\nb: 'on'\nc: {d: [1, x], e: {}}\nf: |\n  one\n  two\ng:\nh: []\n"
    assert [get_text(text, (key,)) for key in "abfgh"] == ["1.10", "on", "one\ntwo\n", "", "[]"]
    assert get_text(text, ("c",)) == "d:\n  - 1\n  - x\ne: {}"


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("a: &x !!str v  # c\n", "a", "v"),
        ("a: 'v w'\n", "a", "'v w'"),
        ("a: |-  # c\n  v\n\n", "a", "|-  # c\n  v"),
        ("a:\n  b: 1  # c\n\n  # d\nc: 2\n", "a", "b: 1"),
        ("a: &m\n  b: 1\nc: *m\n", "c", "b: 1"),
        ("a: [x, {y: z}]\n", "a[1]", "{y: z}"),
        ("a: [k: v, w]\n", "a[0]", "k: v"),
        ("a:\n- x\n- y\nb: 1\n", "a", "- x\n- y"),
        ("a:\n", "a", ""),
    ],
)
def test_a_value_is_located_without_its_properties(text: str, path: str, expected: str) -> None:
    span = locate(text, parse_path(path))
    assert text[span.start : span.end] == expected


def test_lines_and_columns_are_counted_as_people_count_them() -> None:
    span = locate("\ufeffa: 1\r\nb:\r\n  é🚀: [x, y]\r\n", ("b", "é🚀", 1))
    assert (span.line, span.column) == (3, 11)
    key = locate("a: 1\n'b c': 2\n", ("b c",), key=True)
    assert (key.line, key.column, key.end - key.start) == (2, 1, 5)


# What yamlpath's own files call a bug and not ideal, and what follows from it.
NOT_IDEAL = {("flow4", "emptykey"), ("flow1", "foo", 2), ("flow1", "foo", 2, 2)}


def queries() -> Iterator[Any]:
    for file in sorted(CONFORMANCE.glob("yamlpath/*.yml")):
        text = file.read_text()
        found = get_value(text, ("queries",))
        assert isinstance(found, list)
        for number, query in enumerate(found):
            if tuple(query["query"]) in NOT_IDEAL:
                continue
            yield pytest.param(text, query, id=f"{file.stem}-{number}")


QUERIES = list(queries())


@pytest.mark.parametrize(("text", "query"), QUERIES)
def test_yamlpath_queries_extract_this_text(text: str, query: dict[str, Any]) -> None:
    """Of zizmor's yamlpath: ``exact`` is the value, ``key-only`` the key, else the value and more."""
    path = ("testcase", *query["query"])
    mode, expected = query.get("mode", "pretty"), query["expected"]
    span = locate(text, path, key=mode == "key-only")
    if mode == "pretty":
        around = [start for start in range(span.start + 1) if text.startswith(expected, start)]
        assert any(span.end <= start + len(expected) for start in around)
        return
    # yamlpath counts the first line's indentation in, and a comment behind a block's last line.
    start = text.rindex("\n", 0, span.start) + 1 if expected.startswith(" ") else span.start
    end = text.index("\n", span.end) if mode == "exact" and expected.startswith(" ") else span.end
    assert text[start:end] == expected.replace("<<empty>>", "")


@pytest.mark.parametrize(("text", "query"), QUERIES)
def test_yamlpath_values_are_edited_exactly_or_not_at_all(text: str, query: dict[str, Any]) -> None:
    path = ("testcase", *query["query"])
    targets = [node for node in nodes(text) if node[1] == path]
    if not targets or not isinstance(targets[0][3], ScalarEvent):
        with pytest.raises(EditRefused):
            set_values(text, {path: "NEW"})
        return
    _, _, index, event = targets[0]
    after = set_values(text, {path: "NEW"})
    old, new = events(text), events(after)
    assert [at for at in range(len(old)) if old[at] != new[at]] == [index]
    assert new[index][1] == "NEW"
    assert is_same_around(text, after, event)


@settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], max_examples=50
)
@given(documents(), st.data())
def test_what_is_located_reads_alone_as_it_reads_in_its_place(text: str, data: st.DataObject) -> None:
    found = [node for node in nodes(text) if isinstance(node[3], ScalarEvent)]
    paths = [node[:2] for node in nodes(text)]
    found = [node for node in found if paths.count(node[:2]) == 1 and node[3].style not in {"|", ">"}]
    if found:
        document, path, _, event = data.draw(st.sampled_from(found))
        span = locate(text, path, document=document)
        token = text.removeprefix("\ufeff")[span.start : span.end]
        alone = events(f"[\n{token}\n]" if token else "['']")
        assert alone[3][1] == event.value
