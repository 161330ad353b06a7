"""What every signal of maturity keeps to.

Subclass `SignalSuite` in a test module and give it a fixture `signal`. `repository_of` makes a repository
of a few texts, to test what a signal finds.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pipegraft.maturity.model import Answer, DeliveryPace, Iac, Signal
from pipegraft.maturity.usecases import FileTree, RepositoryView

__all__ = ["SignalSuite", "iac_of", "repository_of"]

_SAMPLES: tuple[Mapping[str, str], ...] = (
    {},
    {".gitlab-ci.yml": "", "delivery.yaml": "", "Dockerfile": "", "README.md": ""},
    {
        ".gitlab-ci.yml": "[1, 2",
        "delivery.yaml": "a: [",
        "Jenkinsfile": "pipeline {",
        "Dockerfile": "\\",
    },
    {
        "Jenkinsfile": "node { stage('Test') { sh 'make test' } }",
        "x.yaml": "apiVersion: v1\nkind: [1]\nspec: 3\n",
    },
    {
        ".gitlab-ci.yml": "test: {script: [make test], variables: {A: 1, B: {value: x}},"
        " environment: {name: a}}\n",
        "Dockerfile": "ARG A=1\nFROM a AS b\nFROM b\nENV X\nUSER 1\n",
        "deploy.yaml": "apiVersion: apps/v1\nkind: Deployment\n"
        "spec: {template: {spec: {containers: [{}]}}}\n",
        "delivery.yaml": "app: a\nregistry: oci:r\ncomponents: {web: {path: web}}\n"
        "iac: {repository: ../iac.git}\nenvironments: {production: {gate: {engine: embedded}}}\n",
    },
)


def repository_of(files: Mapping[str, str], iac: Iac | None = None) -> RepositoryView:
    """A repository with these texts.

    Arguments:
        iac: the IaC repository that its delivery names.
    """
    return RepositoryView("sample", list(files), files.get, lambda _delivery: iac)


def iac_of(files: Mapping[str, str], pace: DeliveryPace | None = None) -> Iac:
    """An IaC repository with these texts, and what its history says."""
    return Iac(FileTree(list(files), files.get), "", None, {}, (), pace)


class SignalSuite:
    """The contract of a signal."""

    @pytest.fixture
    def signal(self) -> Signal:
        raise NotImplementedError("a subclass provides the signal under test")

    def test_it_answers_for_any_repository_and_says_why(self, signal: Signal) -> None:
        for files in _SAMPLES:
            found = signal.look(repository_of(files))
            assert found.answer in tuple(Answer)
            assert found.reason
            assert "\n" not in signal.claim

    def test_it_answers_the_same_again(self, signal: Signal) -> None:
        for files in _SAMPLES:
            assert signal.look(repository_of(files)) == signal.look(repository_of(files))

    def test_its_evidence_lies_in_the_repository(self, signal: Signal) -> None:
        for files in _SAMPLES:
            for one in signal.look(repository_of(files)).evidence:
                assert one.place.file in files
                assert 0 <= one.place.line <= files[one.place.file].count("\n") + 1

    def test_mending_is_pure_and_brings_it_about_where_it_changes_anything(self, signal: Signal) -> None:
        for files in _SAMPLES:
            repository = repository_of(files)
            before = signal.look(repository)
            if signal.mend is None or before.answer is not Answer.NO:
                continue
            made = signal.mend(repository)
            assert signal.mend(repository_of(files)) == made
            if made:
                after = signal.look(repository_of({**files, **made}))
                assert after.answer is not Answer.NO, after.reason
