"""A release in files as teams have them, without Helm and Kustomize: exact, refused, or not claimed."""

from __future__ import annotations

import pytest
from rare_target_files import RARE_CASES
from target_files import CASES, Case
from written_files import assert_refused, assert_written, written

from pipegraft.core.errors import UsageError

ALL = (*CASES, *RARE_CASES)
NOT_WITHOUT_TOOLS = [case for case in ALL if case.rendered and case.effect == "require"]
EXACT = [pytest.param(case, id=case.name) for case in ALL if case.runs and case not in NOT_WITHOUT_TOOLS]
REFUSED = [pytest.param(case, id=case.name) for case in ALL if case.refused and case not in NOT_WITHOUT_TOOLS]


def test_the_table_is_long_enough() -> None:
    assert len({case.name for case in ALL}) == len(ALL) >= 120


@pytest.mark.parametrize("case", EXACT)
def test_what_can_be_written_is(case: Case) -> None:
    assert_written(case, written(case, {}))


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_is_refused_or_not_claimed(case: Case) -> None:
    try:
        planned = written(case, {})
    except UsageError as error:
        assert_refused(case, error)
    else:
        assert not any(one.proven for one in planned.effects)
