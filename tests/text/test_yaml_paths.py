from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipegraft.core.errors import EditRefused
from pipegraft.text.yaml import Path, Where, format_path, parse_path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", ("a",)),
        ("a.b", ("a", "b")),
        ("spec.containers[0].image", ("spec", "containers", 0, "image")),
        ('metadata.labels["app.kubernetes.io/name"]', ("metadata", "labels", "app.kubernetes.io/name")),
        ("a['it''s'][10][2].b", ("a", "it's", 10, 2, "b")),
        (r'["tab\there"].x', ("tab\there", "x")),
        ('["[0]"]', ("[0]",)),
        ("[1].a", (1, "a")),
        ("a-b/c:d", ("a-b/c:d",)),
        ("5.x", ("5", "x")),
        ("a[name=web].image", ("a", Where("name", "web"), "image")),
        ('[x y="a]b"][k=][l=r/i@v:1.0]', (Where("x y", "a]b"), Where("k", ""), Where("l", "r/i@v:1.0"))),
        (".a.b", ("a", "b")),
        (".", ()),
    ],
)
def test_a_path_is_read(text: str, path: Path) -> None:
    assert parse_path(text) == path


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "expected a key, found the end"),
        ("a.", 3, "expected a key, found the end"),
        ("a..b", 3, "expected a key, found '.'"),
        ("a b", 2, "expected '.', '[' or the end, found ' '"),
        ("a[-1]", 2, "an index counts from the start, from 0, found a negative one"),
        ("a[x]", 2, 'expected [INDEX], ["KEY"] or [KEY=VALUE]'),
        ("a[1", 2, 'expected [INDEX], ["KEY"] or [KEY=VALUE]'),
        ("a.[0]", 3, "found '.['"),
        ("a[0]b", 5, "expected '.', '[' or the end, found 'b'"),
        (r'["\x"]', 1, "is not a JSON string"),
    ],
)
def test_what_is_no_path_is_refused_at_its_column(text: str, column: int, message: str) -> None:
    with pytest.raises(EditRefused) as caught:
        parse_path(text)
    assert message in caught.value.problem.message
    assert str(caught.value.problem.place) == f"<path>:1:{column}"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
WHERE = st.builds(Where, st.from_regex(r"[\w./-]{1,8}", fullmatch=True), TEXT)


@given(st.lists(TEXT | st.integers(0, 10**6) | WHERE))
def test_a_path_that_is_written_down_reads_the_same(parts: list[str | int | Where]) -> None:
    assert parse_path(format_path(tuple(parts))) == tuple(parts)
