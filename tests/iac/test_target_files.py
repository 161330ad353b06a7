"""A release in files as teams have them, without Helm and Kustomize: exact, refused, or not claimed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rare_target_files import RARE_CASES
from target_files import APPLICATION, CASES, Case
from written_files import assert_refused, assert_written, written

from pipegraft.core.errors import UsageError
from pipegraft.iac.ports import FakeIacRepository
from pipegraft.iac.targets.kustomization import parsed

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


BESIDE = next(case for case in ALL if case.name == "require-images-of-a-rollout-in-a-template")


def test_files_of_many_objects_are_read_once() -> None:
    plain = APPLICATION.replace("charts/web", "overlays/production").replace("    helm:\n", "")
    objects = "---\n".join(plain.replace("name: web", f"name: web{number}", 1) for number in range(30))
    parsed.cache_clear()
    planned = written(replace(BESIDE, files={**BESIDE.files, "a.yaml": objects, "b.yaml": objects}), {})
    assert all(one.proven for one in planned.effects)
    assert parsed.cache_info().misses <= 6


def test_objects_that_cannot_be_looked_for_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeIacRepository, "files_holding", lambda *_: None)
    (effect,) = written(BESIDE, {}).effects
    assert "objects of the engine elsewhere were not looked for" in effect.how
