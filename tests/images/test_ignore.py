"""Ignore rules, as the Docker engine reads them; the cases follow moby's own patternmatcher tests."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipegraft.core.errors import ConfigError
from pipegraft.images.dockerfile import _STARS, IgnoreRules, _Steps, _translate

CASES = [
    ("**", "file", True),
    ("**", "dir/file", True),
    ("**/", "dir/file", True),
    ("**/**", "dir/file", True),
    ("dir/**", "dir/file", True),
    ("dir/**", "dir/dir2/file", True),
    ("dir/**", "dir", False),
    ("**/dir", "dir/file", True),
    ("**/dir2/*", "dir/dir2/file", True),
    ("**/dir2/**", "dir/dir2/dir2/file", True),
    ("**file", "file", True),
    ("**file", "dir/otherfile", True),
    ("**/file", "dir/otherfile", False),
    ("**/file*", "dir/dir/file.txt", True),
    ("**/file*txt", "dir/dir/file.txt", True),
    ("**/file*.txt*", "dir/dir/file.txt", True),
    ("**/**/*.txt2", "dir/dir/file.txt", False),
    ("a**", "ab/c", True),
    ("a**/*.txt", "abc/file.txt", True),
    ("a[b-d]e", "ae", False),
    ("a[b-d]e", "ace", True),
    ("a[^b-d]e", "aze", True),
    ("a[^b-d]e", "ace", False),
    (r"[\]a]", "]", True),
    (r"[\-a]", "-", True),
    ("[[]a", "[a", True),
    ("*.md", "README.md", True),
    ("*.md", "docs/README.md", False),
    ("?.md", "a.md", True),
    ("a?b", "a/b", False),
    ("dir", "dir/deep/file", True),
    ("/dir", "dir/file", True),
    ("dir/", "dir/file", True),
    ("./dir", "dir", True),
    ("a/../dir", "dir", True),
    ("  dir  ", "dir", True),
    (r"a\*b", "a*b", True),
    (r"a\*b", "axb", False),
    ("a.b", "axb", False),
    ("a+(b)$", "a+(b)$", True),
    ("# dir", "# dir", False),
    (" # dir", "# dir", True),
    ("*\n!keep", "keep", False),
    ("*\n!keep", "keep/below", False),
    ("dir\n!dir/keep", "dir/keep", False),
    ("dir\n!dir/keep", "dir/other", True),
    ("!keep\n*", "keep", True),
    ("*\n! keep", "keep", False),
    ("*\n!keep\nkeep/not", "keep/not", True),
    ("\ufeffdir", "dir", True),
    ("größe", "größe", True),
    ("dir/sub\n!dir", "dir/sub", True),
    ("dir/.env\n!dir\n!dir/a", "dir/.env", True),
    ("dir/.env\n!dir/.env", "dir/.env", False),
    ("*\n!**/*.txt", "dir/b.txt", False),
    ("a\r\nb\r\n", "b", True),
    ("ab\rabc", "ab", False),
    ("a\u2028b", "b", False),
    ("", "anything", False),
]


def ignores(rules: IgnoreRules, path: str) -> bool:
    """As a walk from the top finds it."""
    ignored, matches = rules.look(path.partition("/")[0])
    for depth in range(1, path.count("/") + 1):
        ignored, matches = rules.look("/".join(path.split("/")[: depth + 1]), matches)
    return ignored


@pytest.mark.parametrize(("text", "path", "ignored"), CASES)
def test_a_path_is_ignored_as_the_engine_ignores_it(text: str, path: str, ignored: bool) -> None:
    assert ignores(IgnoreRules(text), path) is ignored


def test_every_pattern_that_cannot_be_read_is_named_with_its_line() -> None:
    with pytest.raises(ConfigError) as caught:
        IgnoreRules("ok\n[a-\n\n!\n[z-a]\n!/\nend\\\n[]a]\n[-a]\n", "web/.dockerignore")
    places = [str(problem.place) for problem in caught.value.problems]
    assert places == [
        "web/.dockerignore:2",
        "web/.dockerignore:4",
        *(f"web/.dockerignore:{line}" for line in range(5, 10)),
    ]


def test_an_exception_can_undo_what_comes_before_the_file() -> None:
    assert ignores(IgnoreRules("", before=(".git",)), ".git/config")
    assert not ignores(IgnoreRules("!.git", before=(".git",)), ".git/config")


def test_a_pattern_with_many_stars_takes_no_longer_than_its_path_is_long() -> None:
    rules = IgnoreRules("*a" * 200 + "b\n" + "**/a*" * 60 + "b")
    assert not rules.look("a" * 250 + "/" + "a/" * 900 + "a")[0]
    assert rules.look("a" * 250 + "b")[0]


@given(
    st.lists(st.sampled_from(["*", "**", "**/", "/", "a", "b", "?", "[ab]"]), max_size=9).map("".join),
    st.text("ab/", max_size=12),
)
def test_many_stars_match_what_few_do(pattern: str, path: str) -> None:
    """The two ways to match agree: the one for many stars, and a regular expression."""
    pieces, _ = _translate(pattern)
    steps = _Steps([piece if piece in _STARS else re.compile(piece) for piece in pieces])
    assert steps(path) == (re.fullmatch("".join(pieces), path) is not None)
