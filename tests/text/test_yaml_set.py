"""Setting one scalar: the bytes that come out, for every kind of place a scalar stands in."""

from __future__ import annotations

import pytest
import yaml
from ruamel.yaml import YAML

from pipegraft.text.yaml import Path, Scalar, Set, apply, get_value, parse_path, set_values

DIGEST = "registry.example.com:5000/shop/web@sha256:" + "0a" * 32

CASES: dict[str, tuple[str, str, Scalar, str]] = {
    # flow collections: the token only
    "flow mapping": ("a: {x: 1, y: 2}\n", "a.x", 3, "a: {x: 3, y: 2}\n"),
    "flow mapping, last": ("a: {x: 1, y: 2}  # c\n", "a.y", 3, "a: {x: 1, y: 3}  # c\n"),
    "flow mapping, image": ("{repo: a, tag: v1}\n", "tag", "v2", "{repo: a, tag: v2}\n"),
    "flow value with a comma": ("a: {x: v, y: 2}\n", "a.x", "v,w", 'a: {x: "v,w", y: 2}\n'),
    "flow value with brackets": ("a: [v, w]\n", "a[0]", "x[1]{2}", 'a: ["x[1]{2}", w]\n'),
    "block value with brackets": ("a: v\n", "a", "x[1]{2},", "a: x[1]{2},\n"),
    "tight JSON": ('{"tag":"v1","n":1}', "tag", "v2", '{"tag":"v2","n":1}'),
    "a string in place of a number in JSON": ('{"tag":1}', "tag", "v2", '{"tag":"v2"}'),
    "JSON over lines": (
        '{\n\t"a": {\n\t\t"b": true\n\t}\n}\n',
        "a.b",
        False,
        '{\n\t"a": {\n\t\t"b": false\n\t}\n}\n',
    ),
    "flow over lines": ("a: [\n  x,\n  y, # c\n]\n", "a[1]", "z", "a: [\n  x,\n  z, # c\n]\n"),
    "a pair inside a sequence": ("a: [k: v, l]\n", "a[0].k", "w", "a: [k: w, l]\n"),
    # block scalars: header and indentation stay
    "folded, stripped": ("a: >-\n    old\n    text\nb: 1\n", "a", DIGEST, f"a: >-\n    {DIGEST}\nb: 1\n"),
    "literal": ("a: |\n  old\n\n\nb: 1\n", "a", "new\n", "a: |\n  new\n\n\nb: 1\n"),
    "literal of several lines": (
        "a: |\n  x\nb: 1\n",
        "a",
        "one\n\n  two\n",
        "a: |\n  one\n\n    two\nb: 1\n",
    ),
    "literal loses its last line break": ("a: |\n  x\nb: 1\n", "a", "y", "a: |-\n  y\nb: 1\n"),
    "literal with a header comment": ("a: |- # c\n  x\nb: 1\n", "a", "y", "a: |- # c\n  y\nb: 1\n"),
    "literal with a digit": ("a: |3-\n    x\nb: 1\n", "a", "y", "a: |3-\n   y\nb: 1\n"),
    "literal that keeps blank lines": ("a: |+\n  x\n\nb: 1\n", "a", "y\n", "a: |+\n  y\nb: 1\n"),
    "literal that has to keep blank lines": ("a: |\n  x\n\n\nb: 1\n", "a", "y\n\n", "a: |+\n  y\n\nb: 1\n"),
    "literal in a sequence": ("- - |\n    x\n  - z\n", "[0][0]", "y\n", "- - |\n    y\n  - z\n"),
    "literal that cannot hold it": ("a: | # c\n  x\n\nb: 1\n", "a", " y", 'a: " y" # c\n\nb: 1\n'),
    "literal gives way to a number": ("a: |-\n  x\n\nb: 1\n", "a", 2, "a: 2\n\nb: 1\n"),
    "folded of several lines": ("a: >\n  x\nb: 1\n", "a", "one\ntwo\n", "a: >\n  one\n\n  two\nb: 1\n"),
    "folded that would not fold": ("a: >\n  x\nb: 1\n", "a", "one\n  two\n", "a: |\n  one\n    two\nb: 1\n"),
    "literal without text": ("a: |-\nb: 1\n", "a", "y", "a: |-\n  y\nb: 1\n"),
    # scalars over several lines
    "plain over lines": ("a: one\n  two\n\n  three # c\nb: 1\n", "a", "v", "a: v # c\nb: 1\n"),
    "double-quoted over lines": ('a: "one\n  two" # c\n', "a", "v", 'a: "v" # c\n'),
    "value on the next line": ("a:\n  v1 # c\nb: 1\n", "a", "v2", "a:\n  v2 # c\nb: 1\n"),
    "value behind a comment": ("a: # c\n  v1\n", "a", "v2", "a: # c\n  v2\n"),
    # quotes stay
    "single quotes": ("a: 'x'\n", "a", "it's", "a: 'it''s'\n"),
    "single quotes hold a backslash": ("a: 'x'\n", "a", r"\d", r"a: '\d'" + "\n"),
    "single quotes cannot hold a line break": ("a: 'x'\n", "a", "1\n2", 'a: "1\\n2"\n'),
    "double quotes": ('a: "x"\n', "a", 'say "hi" \\', 'a: "say \\"hi\\" \\\\"\n'),
    "double quotes escape": ('a: "x"\n', "a", "\t\x00\x85\u2028é", 'a: "\\t\\u0000\\u0085\\u2028é"\n'),
    "quotes go with the string": ("a: '1'\n", "a", 2, "a: 2\n"),
    "plain with quotes inside": ("a: x\n", "a", 'x "y" z', 'a: x "y" z\n'),
    "plain that needs quotes, with quotes inside": ("a: x\n", "a", 'a: "b"', "a: 'a: \"b\"'\n"),
    # properties stay
    "tag": ("a: !!str 1.0 # c\n", "a", "1.1", 'a: !!str "1.1" # c\n'),
    "tag of one's own": ("a: !vault abc\n", "a", "def", "a: !vault def\n"),
    "verbatim tag": ("a: !<tag:x,1:t> v\n", "a", "w", "a: !<tag:x,1:t> w\n"),
    "anchor": ("a: &img v1\nb: *img\n", "a", "v2", "a: &img v2\nb: *img\n"),
    "anchor and tag": ("a: &img !!str v1\n", "a", "v2", "a: &img !!str v2\n"),
    "anchor alone": ("a: &img\nb: 1\n", "a", "v2", "a: &img v2\nb: 1\n"),
    "anchor on a literal": ("a: &t |\n  x\nb: 1\n", "a", "y\n", "a: &t |\n  y\nb: 1\n"),
    "behind the anchor of a mapping": (
        "a: &m\n  x: 1\nb: {<<: *m}\n",
        "a.x",
        2,
        "a: &m\n  x: 2\nb: {<<: *m}\n",
    ),
    # nothing there yet
    "empty value": ("a:\nb: 1\n", "a", "v", "a: v\nb: 1\n"),
    "empty value at the end": ("a:", "a", "v", "a: v"),
    "empty value before a comment": ("a:    # c\nb: 1\n", "a", "v", "a: v    # c\nb: 1\n"),
    "empty item": ("- \n- b\n", "[0]", "v", "- v \n- b\n"),
    "empty flow value": ("{ a: , b: 1}\n", "a", "v", "{ a: v , b: 1}\n"),
    "empty flow value, last": ("{ a: }\n", "a", "v", "{ a: v }\n"),
    "flow key without colon": ("{ a, b: 1 }\n", "a", "v", "{ a: v, b: 1 }\n"),
    "explicit key without value": ("? a\n? b\n", "a", "v", "? a\n: v\n? b\n"),
    "null in words": ("a: ~ # c\n", "a", "v", "a: v # c\n"),
    "empty document": ("---\n", ".", "v", "--- v\n"),
    # comments and white space
    "hash inside a value": ("a: v1#x # c\n", "a", "v2#y", "a: v2#y # c\n"),
    "a value that would become a comment": ("a: v\n", "a", "v #1", 'a: "v #1"\n'),
    "tabs as separators": ("a:\tv1\t# c\n", "a", "v2", "a:\tv2\t# c\n"),
    "trailing blanks": ("a: v1   \nb: 1\n", "a", "v2", "a: v2   \nb: 1\n"),
    "aligned values": ("a:    v1  # c\nbbb:  v2  # c\n", "a", "v", "a:    v  # c\nbbb:  v2  # c\n"),
    "long line": ("a: v  # c\n", "a", DIGEST * 9, f"a: {DIGEST * 9}  # c\n"),
    "line breaks of Unicode in strings": ('a: v\nb: "\x85\u2028"\n', "a", "w", 'a: w\nb: "\x85\u2028"\n'),
    "characters of more than one byte": (
        "é🚀: [ü, v1]\nb: 🚀\n",
        '["é🚀"][1]',
        "v2",
        "é🚀: [ü, v2]\nb: 🚀\n",
    ),
    # keys
    "quoted key": ("'a': v1\n", "a", "v2", "'a': v2\n"),
    "dotted key": ("a.b: 1\na: {b: 2}\n", '["a.b"]', 3, "a.b: 3\na: {b: 2}\n"),
    "dots in the path": ("a.b: 1\na: {b: 2}\n", "a.b", 3, "a.b: 1\na: {b: 3}\n"),
    "number as a key": ("5: v\n", "5", "w", "5: w\n"),
    "escapes in a key": ('"\\x61": v\n', "a", "w", '"\\x61": w\n'),
    "explicit key": ("? a\n: v\n", "a", "w", "? a\n: w\n"),
    "beside a key that is a collection": ("? [x, y]\n: 1\na: 2\n", "a", 3, "? [x, y]\n: 1\na: 3\n"),
    "alias as a key": ("x: &k a\n*k : 1\n", "a", 2, "x: &k a\n*k : 2\n"),
    # the file around it
    "byte-order mark": ("\ufeffa: 1\nb: 2\n", "b", 3, "\ufeffa: 1\nb: 3\n"),
    "CRLF": ("a: 1\r\nb: 2\r\n", "a", 3, "a: 3\r\nb: 2\r\n"),
    "CRLF and a literal": ("a: |\r\n  x\r\nb: 2\r\n", "a", "y\nz\n", "a: |\r\n  y\r\n  z\r\nb: 2\r\n"),
    "mixed line ends": ("a: 1\r\nb: 2\nc: 3\r\n", "b", 4, "a: 1\r\nb: 4\nc: 3\r\n"),
    "carriage returns alone": ("a: 1\rb: 2\r", "b", 3, "a: 1\rb: 3\r"),
    "no line break at the end": ("a: 1\nb: 2", "b", 3, "a: 1\nb: 3"),
    "document markers": ("%YAML 1.2\n--- # c\na: 1\n...\n", "a", 2, "%YAML 1.2\n--- # c\na: 2\n...\n"),
    "tag directive": ("%TAG ! tag:x,1:\n---\na: !t v\n", "a", "w", "%TAG ! tag:x,1:\n---\na: !t w\n"),
    "braces of a template": ("a: {{ .x }}\nb: 1\n", "b", 2, "a: {{ .x }}\nb: 2\n"),
    "the only document with the path": ("a: 1\n---\nb: 2\n", "b", 3, "a: 1\n---\nb: 3\n"),
    "root scalar": ("v1 # c\n", ".", "v2", "v2 # c\n"),
    "compact sequence": ("a:\n- x: 1\n  y: 2\n- x: 3\n", "a[1].x", 4, "a:\n- x: 1\n  y: 2\n- x: 4\n"),
}


@pytest.mark.parametrize("name", CASES)
def test_set_writes_exactly_this(name: str) -> None:
    text, path, value, expected = CASES[name]
    assert set_values(text, {path: value}) == expected
    assert set_values(expected, {path: value}) == expected
    assert get_value(expected, parse_path(path)) == value


TYPED_BY_SOME_READER = (
    "1e3 12e4567 0123 0o17 0x1F 0b11 1:20 1_000 1,000 1.10 .5 5. +1 -1 190:20:30.15 2024-01-01 "
    "2001-12-14t21:59:43.10-05:00 on off yes no y n Y N On OFF true False TRUE null Null NULL ~ "
    ".inf -.INF .nan = <<"
)
LOOKS_LIKE_SYNTAX = " a|a |a: b|a:|a #b|#a|- a|-|--- a|...|? a|:a|[a|]|{a|}|,a|&a|*a|!a|>|'a|\"a|%a|@a|`a"
CANNOT_STAND_PLAIN = ["", "|", "a\tb", "a\nb", "\ufeff", "\x7f"]
READERS = [yaml.safe_load, YAML(typ="safe", pure=True).load]  # YAML 1.1 and YAML 1.2
STAYS_PLAIN = [
    "v1.10",
    "1.2.3",
    "web:1.0",
    DIGEST,
    "a#b",
    "-Xmx512m",
    "--port=80",
    "a'b",
    "x,y",
    "é🚀",
    "/a/b",
    "..",
    "_1",
]


@pytest.mark.parametrize(
    "value", [*TYPED_BY_SOME_READER.split(" "), *LOOKS_LIKE_SYNTAX.split("|"), *CANNOT_STAND_PLAIN]
)
def test_a_string_that_readers_would_take_for_something_else_is_quoted(value: str) -> None:
    for text, path in (("a: x\n", ("a",)), ("- x\n", (0,)), ("[x, y]\n", (0,))):
        after = set_values(text, {path: value})
        token = after.removeprefix(text[: text.index("x")])
        assert token[0] in "'\""
        for read in READERS:
            assert read(after)[path[0]] == value


@pytest.mark.parametrize("value", STAYS_PLAIN)
def test_a_string_that_is_safe_is_written_as_it_is(value: str) -> None:
    expected = f"a: {value} # c\n"
    assert set_values("a: x # c\n", {"a": value}) == expected
    assert all(read(expected) == {"a": value} for read in READERS)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "true"), (False, "false"), (None, "null"), (0, "0"), (-7, "-7"), (10**20, "1" + "0" * 20),
        (0.5, "0.5"), (1e20, "1.0e+20"), (1e-7, "1.0e-07"), (float("inf"), ".inf"), (-float("inf"), "-.inf"),
    ],
)  # fmt: skip
def test_what_is_no_string_is_written_the_way_all_readers_know(value: Scalar, written: str) -> None:
    assert set_values('a: "x"\n', {"a": value}) == f"a: {written}\n"
    assert get_value(f"a: {written}\n", ("a",)) == value
    assert all(read(f"a: {written}\n") == {"a": value} for read in READERS)


@pytest.mark.parametrize(
    ("text", "value"),
    [("a: 'v'\n", "v"), ("a: v\n", "v"), ("a: 0x10\n", 16), ("a:\n", None), ("a: ~\n", None),
     ("a: True\n", True), ("a: 1.50\n", 1.5), ("x: &v w\na: *v\n", "w"),
     ("x: &m {a: w}\n<<: *m\n", "w"),
     ("a: |\n  v\n", "v\n")],
)  # fmt: skip
def test_a_value_that_is_there_already_is_left_as_it_is_written(text: str, value: Scalar) -> None:
    assert set_values(text, {"a": value}) == text


def test_several_values_are_set_in_one_pass() -> None:
    text = "a: 1 # a\nb: {c: 2, d: 3}\ne: |\n  x\n"
    values: dict[str | Path, Scalar] = {
        "b.d": "long enough to move what follows",
        ("a",): 10,
        "e": "y\n",
        "b.c": None,
    }
    assert (
        set_values(text, values)
        == "a: 10 # a\nb: {c: null, d: long enough to move what follows}\ne: |\n  y\n"
    )


def test_an_edit_sees_what_the_one_before_it_did() -> None:
    assert apply("a: 1\n", [Set(("a",), 2), Set(("a",), 3)]) == "a: 3\n"
