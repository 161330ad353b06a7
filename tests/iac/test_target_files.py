"""A release in files as teams have them, without Helm and Kustomize: exact, refused, or not claimed."""

from __future__ import annotations

import pytest
from target_files import CASES, Case
from written_files import assert_refused, assert_written, written

from pipegraft.core.errors import UsageError

EXACT = [pytest.param(case, id=case.name) for case in CASES if case.runs]
REFUSED = [pytest.param(case, id=case.name) for case in CASES if case.refused]


def test_the_table_is_long_enough() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 120


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
