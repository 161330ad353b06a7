"""Both CI systems keep what every CI system promises."""

from __future__ import annotations

import pytest

from pipegraft.ci.gitlab import system as gitlab
from pipegraft.ci.hooks import CiSystem
from pipegraft.ci.jenkins import system as jenkins
from pipegraft.testing.stage_suite import CiSystemSuite

GITLAB = """\
# the team's pipeline
stages: [check]

test:
  stage: check
  script: [make test]   # quick
"""
JENKINS = """\
// the team's pipeline
pipeline {
    agent any
    stages {
        stage('check') { steps { sh 'make test' } }
    }
}
"""


class TestGitLab(CiSystemSuite):
    @pytest.fixture
    def system(self) -> CiSystem:
        return next(iter(gitlab.pipegraft_ci_systems()))

    @pytest.fixture
    def file(self) -> str:
        return ".gitlab-ci.yml"

    @pytest.fixture
    def pipeline(self) -> str:
        return GITLAB


class TestJenkins(CiSystemSuite):
    @pytest.fixture
    def system(self) -> CiSystem:
        return next(iter(jenkins.pipegraft_ci_systems()))

    @pytest.fixture
    def file(self) -> str:
        return "Jenkinsfile"

    @pytest.fixture
    def pipeline(self) -> str:
        return JENKINS
