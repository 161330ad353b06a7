"""What every examination of `pipegraft doctor` keeps to.

Subclass `ExaminationSuite` in a test module and give it a fixture `examination`. `patient_of` makes a
patient whose systems are all fakes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipegraft.core.doctor import Diagnosis, Examination, Health, Patient
from pipegraft.core.errors import PipegraftError
from pipegraft.core.stage import Connections
from pipegraft.testing.stage_suite import FakeConnections, stage_context

__all__ = ["ExaminationSuite", "patient_of"]


def patient_of(
    root: Path,
    connections: Connections | None = None,
    environment: Mapping[str, str] | None = None,
    **delivery: Any,
) -> Patient:
    """Something to examine.

    Arguments:
        connections: the systems; fakes if None.
        environment: variables of the process.
        delivery: keys of ``delivery.yaml`` that differ from a small shop's.
    """
    context = stage_context(root, delivery=delivery, connections=connections or FakeConnections())
    return Patient(context.delivery, root, context.connections, environment or {}, (), context.clock)


class ExaminationSuite:
    """The contract of an examination."""

    @pytest.fixture
    def examination(self) -> Examination:
        raise NotImplementedError("a subclass provides the examination under test")

    def test_it_says_what_it_checks(self, examination: Examination) -> None:
        assert examination.summary.endswith(".")
        assert "\n" not in examination.summary

    def test_it_answers_with_diagnoses_or_an_error_for_people(
        self, examination: Examination, tmp_path: Path
    ) -> None:
        patient = patient_of(tmp_path, registry="oci:registry", iac={"repository": "iac.git"})
        for subject in examination.subjects(patient):
            try:
                found = list(examination.run(patient, subject))
            except PipegraftError:
                continue
            assert all(isinstance(one, Diagnosis) for one in found)
            assert all(one.found for one in found)
            assert all(one.mend for one in found if one.health in (Health.WRONG, Health.UNREACHABLE))
