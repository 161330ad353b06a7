"""Both forges keep what every forge promises."""

from __future__ import annotations

import pytest
from group_double import Lab

from pipegraft.fleet.adapters import GitLabGroup
from pipegraft.fleet.ports import FakeForge, ForgeProject
from pipegraft.testing.iac_suite import FILES, ForgeSuite, Happen


class TestFake(ForgeSuite):
    @pytest.fixture
    def forge(self) -> FakeForge:
        return FakeForge({"acme/one": FILES})

    @pytest.fixture
    def happen(self, forge: FakeForge) -> Happen:
        def happen(what: str, project: ForgeProject, branch: str) -> None:
            if what == "merge":
                forge.merge(project, branch, 5.0)
            else:
                forge.close(project, branch)

        return happen


class TestGitLab(ForgeSuite):
    @pytest.fixture
    def forge(self, lab: Lab, forge: GitLabGroup) -> GitLabGroup:
        lab.add("one", FILES)
        return forge

    @pytest.fixture
    def happen(self, lab: Lab) -> Happen:
        def happen(what: str, project: ForgeProject, branch: str) -> None:
            (request,) = [one for one in lab.opened(branch) if one["project_id"] == project.id]
            if what == "merge":
                lab.merge(request, 5.0)
            else:
                request["state"] = "closed"

        return happen
