"""The input hash: every input changes it, nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipegraft.images.build_request import BuildInputs
from pipegraft.images.hooks import ContextEntry

ENTRIES = (ContextEntry("a", "file", "00", size=1), ContextEntry("b", "link", "a"))
INPUTS = BuildInputs("layer", "1", ENTRIES)


def test_the_tag_is_pinned() -> None:
    # A change of this value means that every image of every user is built again: raise the scheme.
    assert INPUTS.tag() == "ih-18dd4d4735e0bf1bc577273eddb49855b734d924666b16523e76ce06b9c99f67"


@pytest.mark.parametrize(
    "change",
    [
        {"builder": "docker"},
        {"builder_version": "2"},
        {"entries": ENTRIES[:1]},
        {"entries": (replace(ENTRIES[0], path="c"), ENTRIES[1])},
        {"entries": (replace(ENTRIES[0], content="01"), ENTRIES[1])},
        {"entries": (replace(ENTRIES[0], executable=True), ENTRIES[1])},
        {"entries": (ENTRIES[0], replace(ENTRIES[1], content="c"))},
        {"entries": (ENTRIES[0], replace(ENTRIES[1], kind="file"))},
        {"dockerfile": ""},
        {"build_args": {"VERSION": "1"}},
        {"bases": {"python:3.12": "sha256:1"}},
        {"upstream": {"base": "sha256:1"}},
        {"command": ("run",)},
        {"target": "/app"},
        {"platform": "linux/arm64"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_input_changes_the_tag(change: dict) -> None:
    assert replace(INPUTS, **change).tag() != INPUTS.tag()


def test_the_order_of_entries_and_arguments_does_not_matter() -> None:
    one = replace(INPUTS, entries=ENTRIES[::-1], build_args={"A": "1", "B": "2"})
    two = replace(INPUTS, build_args={"B": "2", "A": "1"})
    assert one.tag() == two.tag()
