"""What is ambiguous or cannot be done exactly is refused: why, where, and the way out."""

from __future__ import annotations

import pytest

from pipegraft.core.errors import EditRefused
from pipegraft.text.yaml import (
    Edit,
    Insert,
    Put,
    Remove,
    Set,
    Where,
    apply,
    decode,
    get_value,
    locate,
    set_values,
)

REFUSED: dict[str, tuple[str, Edit, str, str, str]] = {
    "missing key": (
        "web:\n  image: v1\n  tag: x\n",
        Set(("web", "imge"), "v2"),
        "f:2:3",
        "web.imge is missing: web is a mapping without the key 'imge'",
        "did you mean web.image?",
    ),
    "missing key, nothing like it": (
        "a: 1\nb: 2\n",
        Set(("zzz",), 1),
        "f:1:1",
        "zzz is missing: the document is a mapping without the key 'zzz'",
        "the keys there are: a, b",
    ),
    "missing index": (
        "a: [x, y]\n",
        Set(("a", 2), 1),
        "f:1:4",
        "a[2] is missing: a is a sequence of 2, counted from 0",
        "from 0 to 1",
    ),
    "index into a mapping": (
        "a: {b: 1}\n",
        Set(("a", 0), 1),
        "f:1:4",
        "a is a mapping, and [0] is no key",
        "write the key as a.0",
    ),
    "key into a sequence": (
        "a: [x]\n",
        Set(("a", "b"), 1),
        "f:1:4",
        "a is a sequence, and 'b' is a key",
        "[0]",
    ),
    "into a scalar": (
        "a: v\n",
        Set(("a", "b"), 1),
        "f:1:4",
        "a is a single value, nothing is inside it",
        "let the path end at a",
    ),
    "put into a scalar": (
        "a: v\n",
        Put(("a", "b"), 1),
        "f:1:4",
        "a is a single value",
        "let the path end at a",
    ),
    "a mapping is no single value": (
        "a: {b: 1}\n",
        Set(("a",), 1),
        "f:1:4",
        "a is a mapping, and only a single value can be set",
        "such as a.b",
    ),
    "a sequence is no single value": ("a: [1]\n", Set(("a",), 1), "f:1:4", "a is a sequence", "such as a[0]"),
    "key twice": (
        "a: 1\nb: 2\na: 3\n",
        Set(("a",), 4),
        "f:3:1",
        "the key 'a' stands twice in one mapping, first in line 1",
        "remove one of the two",
    ),
    "key twice in two spellings": (
        "a: 1\n'a': 3\n",
        Set(("a",), 4),
        "f:2:1",
        "the key 'a' stands twice",
        "remove",
    ),
    "key twice on the way": (
        "a: {b: 1}\na: {c: 1}\n",
        Set(("a", "b"), 4),
        "f:2:1",
        "the key 'a' stands twice",
        "",
    ),
    "alias": (
        "a: &x v\nb: *x\n",
        Set(("b",), 1),
        "f:2:4",
        "b is the alias *x",
        "set the value that &x stands at",
    ),
    "put on an alias": ("a: &x v\nb: *x\n", Put(("b",), [1]), "f:2:4", "b is the alias *x", "detached"),
    "through an alias": (
        "a: &x\n  k: v\nb: *x\n",
        Set(("b", "k"), 1),
        "f:3:4",
        "b is the alias *x, and what is inside it belongs to line 1",
        "make the change where &x stands",
    ),
    "alias of nothing": ("b: *x\n", Set(("b",), 1), "f:1:4", "*x has no &x before it", "define &x"),
    "alias of another document": (
        "a: &x v\n---\nb: *x\n",
        Set(("b",), 1),
        "f:3:4",
        "*x has no &x before it",
        "define &x",
    ),
    "inherited": (
        "a: &x {k: v}\nb:\n  <<: *x\n",
        Set(("b", "k"), 1),
        "f:3:3",
        "b.k comes from another mapping, through '<<'",
        "change it where it stands, in line 1",
    ),
    "inside something inherited": (
        "a: &x {k: {l: v}}\nb:\n  <<: *x\n",
        Set(("b", "k", "l"), 1),
        "f:3:3",
        "b.k comes from another mapping",
        "a merge takes whole values",
    ),
    "remove something inherited": (
        "a: &x {k: v}\nb:\n  <<: *x\n",
        Remove(("b", "k")),
        "f:3:3",
        "b.k comes from another mapping",
        "in line 1",
    ),
    "put over a merge key": (
        "a: &x {k: v}\nb:\n  <<: *x\n",
        Put(("b",), {"l": 1}),
        "f:3:3",
        "b holds a merge key",
        "one by one",
    ),
    "remove an anchor in use": (
        "a: &x v\nb: *x\n",
        Remove(("a",)),
        "f:1:4",
        "a holds &x, which line 2 uses",
        "move &x to a place that stays",
    ),
    "put over an anchor in use": ("a:\n  - &x v\nb: *x\n", Put(("a",), 1), "f:2:5", "a holds &x", "move &x"),
    "number behind a tag for strings": (
        "a: !!str v\n",
        Set(("a",), 1),
        "f:1:4",
        "the tag tag:yaml.org,2002:str stands here",
        "remove the tag",
    ),
    "several documents": (
        "a: 1\n---\na: 2\n",
        Set(("a",), 3),
        "f:3:1",
        "the file holds 2 documents and 2 of them have a",
        "say which one is meant by its number, from 0 to 1",
    ),
    "several documents, none has it": (
        "a: 1\n---\na: 2\n",
        Put(("b",), 3),
        "f:3:1",
        "the file holds 2 documents and none has b",
        "number",
    ),
    "insert into no sequence": (
        "a: v\n",
        Insert(("a",), None, 1),
        "f:1:4",
        "a is no sequence",
        "name a sequence",
    ),
    "insert behind the end": ("a: [1]\n", Insert(("a",), 3, 1), "f:1:4", "a has 1 items", "append it"),
    "insert into nothing": ("a: 1\n", Insert(("b",), None, 1), "f:1:1", "b is missing", "keys there are: a"),
    "no item with this value": (
        "a:\n- {n: x}\n- {n: y}\n- z\n",
        Set(("a", Where("n", "w"), "k"), 1),
        "f:2:1",
        "a[n=w].k is missing: a is a sequence without an item whose n is 'w'",
        "the values of n there are: x, y",
    ),
    "two items with this value": (
        "a:\n- {n: x}\n- n: x\n",
        Set(("a", Where("n", "x"), "n"), 1),
        "f:3:3",
        "two items have the n 'x', the first in line 2",
        "by its index",
    ),
    "an item where there is a mapping": (
        "a: {n: x}\n",
        Set(("a", Where("n", "x")), 1),
        "f:1:4",
        "a is a mapping, and [n=x] is no key",
        "write a key",
    ),
    "an index is not made": ("a: 1\n", Put(("b", 0), 1), "f:1:1", "b[0] is missing", "keys there are: a"),
    "remove the root": (
        "a: 1\n",
        Remove(()),
        "f:1:1",
        "the root of a document cannot be removed",
        "name an entry",
    ),
    "replace the root": (
        "a: 1\n",
        Put((), [1]),
        "f:1:1",
        "the whole document would be replaced",
        "write the file anew",
    ),
    "no braces": (
        "a: [k: v]\n",
        Put(("a", 0, "l"), 1),
        "f:1:5",
        "a single pair without braces",
        "write braces",
    ),
    "line break would be swallowed": (
        "a: |\n  x",
        Put(("b",), 1),
        "f:1:4",
        "the file ends inside this text block without a line break",
        "add a line break at the end of the file",
    ),
    "empty file": ("# c\n", Set(("a",), 1), "f:1:1", "a is missing: the file is empty", "by hand"),
    "half a character": ("a: 1\n", Set(("a",), "\ud800"), "", "U+D800, half a character", "leave it out"),
    # texts that libyaml does not read
    "template": (
        "a: 1\n{{- if .Values.x }}\nb: 2\n{{- end }}\n",
        Set(("a",), 2),
        "f:2:1",
        "this is not YAML",
        "edit a template through marker comments: end the line with '# pipegraft:set=NAME'",
    ),
    "syntax": (
        "a: [1\nb: 2\n",
        Set(("a",), 2),
        "f:2:2",
        "while parsing a flow sequence that starts in line 1",
        "mend the file",
    ),
    "control character": (
        "a: 1\nb: \x07\n",
        Set(("a",), 2),
        "f:2:4",
        "YAML allows no control characters, found U+0007",
        "as an escape",
    ),
    "version": (
        "%YAML 1.3\n---\na: 1\n",
        Set(("a",), 2),
        "f:1:1",
        "found incompatible YAML document",
        "1.1 or 1.2",
    ),
    "endless key": (
        f"a: 1\n{'k' * 1025}: 2\n",
        Set(("a",), 2),
        "f:2:1",
        "this is not YAML",
        "1,024 characters",
    ),
    "tab as indentation": ("a:\n\tb: 1\n", Set(("a",), 2), "f:2:1", "this is not YAML", "mend the file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_says_why_and_where_and_what_to_do(name: str) -> None:
    text, edit, place, message, fix = REFUSED[name]
    with pytest.raises(EditRefused) as caught:
        apply(text, [edit], file="f")
    problem = caught.value.problem
    assert message in problem.message
    assert fix in problem.fix
    assert str(problem.place or "") == place


def test_an_alias_is_detached_when_asked() -> None:
    text = "a: &x v\nb: *x  # c\nc: [*x , d]\n"
    assert set_values(text, {"b": "w"}, on_alias="detach") == "a: &x v\nb: w  # c\nc: [*x , d]\n"
    assert set_values(text, {"c[0]": 1}, on_alias="detach") == "a: &x v\nb: *x  # c\nc: [1 , d]\n"
    assert (
        apply(text, [Put(("b",), {"k": 1})], on_alias="detach") == "a: &x v\nb:  # c\n  k: 1\nc: [*x , d]\n"
    )


def test_an_inherited_key_is_added_when_asked() -> None:
    text = "a: &x {k: v}\nb:\n  <<: *x\n  l: 1\n"
    added = set_values(text, {"b.k": "w"}, on_inherited="add")
    assert added == text + "  k: w\n"
    assert get_value(added, ("b", "k")) == "w"
    assert get_value(added, ("a", "k")) == "v"


def test_a_document_is_chosen_by_its_number() -> None:
    text = "a: 1\n---\na: 2\n--- # third\na: 3\n"
    assert set_values(text, {"a": 9}, document=1) == "a: 1\n---\na: 9\n--- # third\na: 3\n"
    assert apply(text, [Put(("b",), 1)], document=2) == text + "b: 1\n"
    assert get_value(text, ("a",), document=2) == 3
    assert locate(text, ("a",), document=2).line == 5
    with pytest.raises(EditRefused, match="there is no document 3: the file has 3, counted from 0"):
        set_values(text, {"a": 9}, document=3)


def test_a_refusal_in_the_middle_changes_nothing() -> None:
    with pytest.raises(EditRefused):
        apply("a: 1\n", [Set(("a",), 2), Set(("b",), 2)])


@pytest.mark.parametrize(
    ("data", "message", "place"),
    [
        ("a: é\n".encode("latin-1"), "found the byte 0xe9", "f:1:4"),
        ("a: 1\nü: é\n".encode() + b"b: \xff", "found the byte 0xff", "f:3:4"),
        ("a: 1\n".encode("utf-16"), "found UTF-16 or UTF-32", "f:1:1"),
        ("a: 1\n".encode("utf-16-be"), "found UTF-16 or UTF-32", "f:1:1"),
        ("a: 1\n".encode("utf-32"), "found UTF-16 or UTF-32", "f:1:1"),
    ],
)
def test_bytes_that_are_not_utf_8_are_refused(data: bytes, message: str, place: str) -> None:
    with pytest.raises(EditRefused, match=message) as caught:
        decode(data, "f")
    assert str(caught.value.problem.place) == place


@pytest.mark.parametrize("data", [b"", b"a: 1", b"\xef\xbb\xbfa: 1\r\nb: 2\n", "é: 🚀\u2028\r".encode()])
def test_utf_8_comes_back_byte_for_byte(data: bytes) -> None:
    assert decode(data).encode() == data
