"""`$(VARIABLE)` as Kubernetes expands it."""

from __future__ import annotations

import pytest

from pipegraft.appspec.traits import expand


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$(A)/$(B)", "a/b"),
        ("$(MISSING) $(", "$(MISSING) $("),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$a"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A)$(A", "a$(A"),
        ("$(EMPTY)x", "x"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "a", "B": "b", "EMPTY": ""}) == expected


def test_what_is_put_in_is_safe_already_and_the_rest_is_made_safe() -> None:
    assert expand("a$(A)$b", {"A": "$x"}, lambda text: text.replace("$", "$$")) == "a$x$$b"
