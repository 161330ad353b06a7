"""Orders that must all be respected, and the cycle that is named when they cannot."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipegraft.ci.gitlab.placing import merge_orders
from pipegraft.core.errors import UsageError


def test_what_is_free_stays_as_it_was_first():
    assert merge_orders(["build", "test", "deploy"], ["test", "x", "deploy"]) == [
        "build",
        "test",
        "x",
        "deploy",
    ]


def test_a_name_twice_counts_once():
    assert merge_orders(["a", "b", "a"], ["b", "c"]) == ["a", "b", "c"]


def test_a_cycle_is_named():
    with pytest.raises(UsageError, match="a → b → a"):
        merge_orders(["a", "b"], ["b", "a"])


_lists = st.lists(st.lists(st.sampled_from("abcdef"), unique=True, max_size=5), max_size=4)


@given(_lists)
def test_every_order_is_respected_or_there_is_a_real_cycle(orders):
    try:
        merged = merge_orders(*orders)
    except UsageError as error:
        path = str(error).partition("next: ")[2].splitlines()[0].split(" → ")
        assert path[0] == path[-1]
        steps = {step for order in orders for step in pairwise(order)}
        assert set(pairwise(path)) <= steps
        return
    assert sorted(merged) == sorted({name for order in orders for name in order})
    for order in orders:
        assert [name for name in merged if name in order] == order
