"""The commits of a gray release on files as people write them: what is undone is undone to the byte."""

from __future__ import annotations

import pytest

from pipegraft.appspec.environment_file import (
    bump,
    images_of,
    promote,
    read_environment,
    revert,
    roll_back,
    set_phase,
    set_weight,
)
from pipegraft.core.errors import EditRefused
from pipegraft.core.release import ReleaseMark
from pipegraft.text.yaml import Put, apply, get_value
from pipegraft.text.yaml.values import Value

NEW = {"web": "r/web@sha256:2", "pricing": "r/pricing@sha256:2"}
BLOCK = """\
release:
  number: 12
  source: abc
components:
  web:
    image: r/web@sha256:1   # pinned
    env: {GREETING: hello}
  pricing: {image: r/pricing@sha256:1}
"""
SHAPES = {
    "block": BLOCK,
    "no last newline": BLOCK.rstrip("\n"),
    "blank lines at the end": BLOCK + "\n\n",
    "comment at the end": BLOCK + "# the end\n",
    "windows": BLOCK.replace("\n", "\r\n"),
    "byte-order mark": "\ufeff" + BLOCK,
    "document marks": "---\n" + BLOCK + "...\n",
    "flow": "release: {number: 12, source: a}\ncomponents: {web: {image: r/web:1}, pricing: {image: r/p}}\n",
    "quoted": BLOCK.replace("r/web@sha256:1", "'r/web@sha256:1'"),
    "deep indentation": BLOCK.replace("  ", "    "),
    "no release yet named": BLOCK.partition("components")[1] + BLOCK.partition("components")[2],
}


def prepared(text: str) -> str:
    return bump(text, NEW, ReleaseMark(number=13, source="def"), gray=True, file="e").text


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def text(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_rollback_from_any_weight_and_phase_restores_the_file(text: str) -> None:
    gray = prepared(text)
    for changed in (
        gray,
        set_weight(gray, 25, file="e"),
        set_phase(set_weight(gray, 5, file="e"), "held", file="e"),
    ):
        assert roll_back(changed, text, file="e") == text


def test_a_promotion_moves_the_images_and_can_be_taken_back_to_the_byte(text: str) -> None:
    gray = set_weight(prepared(text), 50, file="e")
    done = promote(gray, file="e")
    held = read_environment(done, "e")
    assert held.gray is None
    assert held.release == ReleaseMark(number=13, source="def")
    assert images_of(held) == NEW
    assert revert(done, gray, text, file="e") == text


def test_taking_a_promotion_back_keeps_what_was_changed_since(text: str) -> None:
    gray = prepared(text)
    done = promote(gray, file="e").replace("release:", "namespace: shop\nrelease:", 1)
    back = revert(done, gray, text, file="e")
    assert read_environment(back, "e").namespace == "shop"
    assert images_of(read_environment(back, "e")) == images_of(read_environment(text, "e"))


def test_an_edit_made_meanwhile_survives_a_rollback() -> None:
    changed = prepared(BLOCK).replace("hello", "good day")
    assert roll_back(changed, BLOCK, file="e") == BLOCK.replace("hello", "good day")


def test_without_knowing_the_file_before_the_block_alone_goes(text: str) -> None:
    back = roll_back(prepared(text), None, file="e")
    assert read_environment(back, "e") == read_environment(text, "e")


def test_an_overlay_is_merged_key_by_key() -> None:
    gray = prepared(BLOCK).replace(
        "      image: r/web@sha256:2\n",
        "      image: r/web@sha256:2\n      env: {COLOUR: blue}\n      replicas: 3\n",
    )
    done = promote(gray, file="e")
    web = read_environment(done, "e").components["web"]
    assert web.env == {"GREETING": "hello", "COLOUR": "blue"}
    assert web.replicas == 3
    assert revert(done, gray, BLOCK, file="e") == BLOCK


def test_without_a_block_there_is_nothing_to_promote() -> None:
    for edit in (promote, lambda text, file: set_weight(text, 5, file=file)):
        with pytest.raises(EditRefused):
            edit(BLOCK, file="e")


@pytest.mark.parametrize(
    ("stable", "gray"),
    [
        ("text", {"secret": "s", "key": "k"}),
        ({"config": "c", "key": "k"}, {"secret": "s", "key": "k"}),
        ({"config": "c", "key": "k"}, "text"),
        ("text", None),
    ],
)
def test_a_reference_is_promoted_whole_and_taken_back_to_the_byte(stable: Value, gray: Value) -> None:
    variable = ("components", "web", "env", "TOKEN")
    text = apply(BLOCK, [Put(variable, stable)], file="e")
    prepared_text = bump(
        text, {}, ReleaseMark(number=13, source="def"), gray=True, file="e", config={variable: gray}
    ).text
    done = promote(prepared_text, file="e")
    assert get_value(done, variable, file="e") == gray
    assert get_value(done, ("components", "web", "env", "GREETING"), file="e") == "hello"
    assert revert(done, prepared_text, text, file="e") == text
