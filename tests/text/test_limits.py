"""Texts of strangers that nest without end: an error with its place, never a defect and never a signal."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipegraft.cli import run
from pipegraft.core.errors import ConfigError, EditRefused
from pipegraft.core.reading import MOST_LEVELS, load_json, load_marked, load_marked_all
from pipegraft.text.yaml import set_values

SHAPES = {
    "flow": lambda n: "a: " + "[" * n + "]" * n,
    "braces": lambda n: "{a: " * n + "1" + "}" * n,
    "dashes": lambda n: "- " * n + "a",
    "keys": lambda n: "".join(" " * level + "a:\n" for level in range(n)) + " " * n + "a: 1",
    "questions": lambda n: "? " * n + "a",
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("levels", [MOST_LEVELS + 30, 400, 999, 1500])
def test_what_nests_too_deeply_is_told_with_its_place(shape: str, levels: int) -> None:
    text = SHAPES[shape](levels)
    for load in (load_marked, load_marked_all):
        with pytest.raises(ConfigError, match=r"f\.yaml:\d+:\d+: .*levels"):
            load(text, "f.yaml")
    with pytest.raises(EditRefused, match="levels"):
        set_values(text, {"b": "1"}, file="f.yaml")


@pytest.mark.parametrize("shape", ["flow", "braces", "keys"])
def test_what_nests_as_people_write_is_read(shape: str) -> None:
    load_marked(SHAPES[shape](MOST_LEVELS - 5), "f.yaml")


def test_aliases_and_merges_nest_no_deeper_than_text() -> None:
    chains = {
        "aliases": "".join(f"a{n}: &a{n} [{f'*a{n - 1}' if n else 1}]\n" for n in range(400)),
        "merges": "".join(f"a{n}: &a{n} {{{f'<<: *a{n - 1}' if n else 'b: 1'}}}\n" for n in range(400)),
    }
    for text in chains.values():
        with pytest.raises(ConfigError, match="at most 100 levels"):
            load_marked(text, "f.yaml")


@given(st.text(st.sampled_from("[]{}-?: \n&*a!|>'\"#,"), max_size=400))
def test_no_text_ends_in_anything_but_an_error_for_people(text: str) -> None:
    for load in (load_marked, load_marked_all):
        with suppress(ConfigError):
            load(text * 20, "f.yaml")


def test_json_that_nests_too_deeply_is_no_json() -> None:
    for text in ("[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000):
        with pytest.raises(ValueError, match=r"deep|Expecting"):
            load_json(text)
    assert load_json(b'{"a": [1]}') == json.loads('{"a": [1]}')


@pytest.mark.parametrize(
    "text",
    [
        "app: " + "[" * 400,
        "app: " + "{a: " * 5000,
        "- " * 50_000,
        "a: &a [*a]",
        "!!python/object:os.system x",
        "app: !!int ''",
        "app: !!bool maybe",
        "app: !!timestamp soon",
        "app: 0001-01-01T00:00:00+23:00",
    ],
)
def test_a_delivery_file_of_a_stranger_is_wrong_usage(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "delivery.yaml").write_text(text)
    assert run(["plan"]) == 2
    assert "delivery.yaml:1:" in capsys.readouterr().err
