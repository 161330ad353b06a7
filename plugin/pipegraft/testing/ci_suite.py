"""What every `CiSystem` does.

Subclass `CiSystemSuite` in a test module and give it the fixtures `system`, `file`, the path of its
configuration, and `pipeline`: the text of a configuration that can be grafted onto, with jobs of a team.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from pipegraft.ci.hooks import CiSystem
from pipegraft.ci.model import Injection, InjectionRequest
from pipegraft.core.planning import Plan, PlannedStage
from pipegraft.core.stage import Stage

__all__ = ["CiSystemSuite"]

_STAGES = (
    Stage(name="first-stage", summary="Comes first.", run=lambda _context, _inputs: None, scope="app"),
    Stage(
        name="second-stage",
        summary="Comes second.",
        run=lambda _context, _inputs: None,
        after=("first-stage",),
        deploys=True,
    ),
)


def _reader(files: Mapping[str, str | None]) -> Callable[[str], str | None]:
    return files.get


class CiSystemSuite:
    """The contract of a CI system."""

    @pytest.fixture
    def asked(self, system: CiSystem, file: str, pipeline: str) -> InjectionRequest:
        """Two stages to be grafted onto the team's pipeline."""
        plan = Plan(
            app="shop",
            stages=(
                PlannedStage("first-stage"),
                PlannedStage("second-stage", "production", needs=("first-stage",)),
            ),
        )
        return InjectionRequest(file=file, text=pipeline, plan=plan, templates=system.templates(_STAGES))

    def test_the_team_keeps_its_jobs_and_gets_deliverys(
        self, system: CiSystem, asked: InjectionRequest
    ) -> None:
        made = system.inject(asked)
        assert asked.file in made.files
        assert made.jobs_added
        assert made.jobs_unchanged

    def test_the_same_question_has_the_same_answer(self, system: CiSystem, asked: InjectionRequest) -> None:
        assert system.inject(asked) == system.inject(asked)

    def test_a_second_injection_changes_nothing(
        self, system: CiSystem, asked: InjectionRequest, again: Callable[[Injection], InjectionRequest]
    ) -> None:
        assert not system.inject(again(system.inject(asked))).files

    def test_it_comes_out_again_byte_for_byte(
        self, system: CiSystem, asked: InjectionRequest, pipeline: str
    ) -> None:
        made = system.inject(asked)
        text = made.files[asked.file]
        assert text is not None
        left = system.eject(asked.file, text, _reader(made.files))
        assert left.files[asked.file] == pipeline

    def test_its_templates_are_the_same_each_time(self, system: CiSystem) -> None:
        assert dict(system.templates(_STAGES)) == dict(system.templates(_STAGES))

    def test_outside_of_it_there_is_no_source(self, system: CiSystem) -> None:
        assert system.source({}) is None

    @pytest.fixture
    def again(self, asked: InjectionRequest) -> Callable[[Injection], InjectionRequest]:
        """The question after the answer was written."""

        def ask(made: Injection) -> InjectionRequest:
            text = made.files[asked.file]
            assert text is not None
            return replace(asked, text=text, read=_reader(made.files))

        return ask
