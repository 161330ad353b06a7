"""The readers that are fuzzed at night (`make fuzz`): their seeds, and a few mutations of each."""

from __future__ import annotations

import itertools

import pytest
from run import inputs
from targets import TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_fuzzed_ends_in_nothing_but_errors_for_people(target: str) -> None:
    for data in itertools.islice(inputs(target, 1), 120):
        TARGETS[target](data)
