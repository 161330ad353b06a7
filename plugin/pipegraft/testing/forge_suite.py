"""What every `Forge` does.

Subclass `ForgeSuite` in a test module and give it the fixtures `forge`, a forge whose group has one project,
with the files of `FILES`, and `happen`: a function that merges or closes what is proposed to a project from
a branch: ``happen("merge", project, branch)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pipegraft.fleet.model import Change, ForgeProject
from pipegraft.fleet.ports import Forge

__all__ = ["CHANGE", "FILES", "ForgeSuite", "Happen"]

FILES = {"pin.txt": "v1\n", "folder/other.txt": "other\n"}
"""What the suite's project holds."""

Happen = Callable[[str, ForgeProject, str], None]
"""What people do: ``merge`` or ``close``, to which project, from which branch."""

CHANGE = Change(
    branch="pipegraft/raise",
    files={"pin.txt": "v2\n", "new.txt": "new\n"},
    before={"pin.txt": "v1\n", "new.txt": None},
    key="a1",
    title="Raise the pin",
    description="Because.",
    labels=("pipegraft",),
)
"""What is proposed to it."""


class ForgeSuite:
    """The contract of `Forge`."""

    @pytest.fixture
    def project(self, forge: Forge) -> ForgeProject:
        """The project that holds `FILES`."""
        (project,) = forge.projects()
        return project

    def test_projects_come_by_path_and_their_files_can_be_read(
        self, forge: Forge, project: ForgeProject
    ) -> None:
        paths = [one.path for one in forge.projects()]
        assert paths == sorted(paths)
        assert sorted(forge.paths(project)) == sorted(FILES)
        assert {path: forge.read(project, path) for path in FILES} == FILES
        assert forge.read(project, "missing.txt") is None

    def test_a_proposal_is_found_again_and_changes_nothing_yet(
        self, forge: Forge, project: ForgeProject
    ) -> None:
        made = forge.propose(project, CHANGE, None)
        found = forge.proposals(CHANGE.branch)[project.id]
        assert (found.number, found.state, found.key) == (made.number, "opened", "a1")
        assert [one.number for one in forge.opened_with("pipegraft")[project.id]] == [made.number]
        assert forge.read(project, "pin.txt") == "v1\n"
        assert not forge.proposals("another/branch")

    def test_a_second_proposal_updates_the_first(self, forge: Forge, project: ForgeProject) -> None:
        first = forge.propose(project, CHANGE, None)
        better = replace(CHANGE, key="a2", files={"pin.txt": "v3\n"}, before={"pin.txt": "v1\n"})
        second = forge.propose(project, better, first)
        assert second.number == first.number
        assert forge.proposals(CHANGE.branch)[project.id].key == "a2"

    def test_what_is_merged_is_there(self, forge: Forge, project: ForgeProject, happen: Happen) -> None:
        forge.merge_when_ready(project, forge.propose(project, CHANGE, None))
        happen("merge", project, CHANGE.branch)
        assert (forge.read(project, "pin.txt"), forge.read(project, "new.txt")) == ("v2\n", "new\n")
        merged = forge.proposals(CHANGE.branch)[project.id]
        assert merged.state == "merged"
        assert merged.merged_at is not None
        assert project.id not in forge.opened_with("pipegraft")

    def test_what_is_closed_says_so(self, forge: Forge, project: ForgeProject, happen: Happen) -> None:
        forge.propose(project, CHANGE, None)
        happen("close", project, CHANGE.branch)
        assert forge.proposals(CHANGE.branch)[project.id].state == "closed"

    def test_what_is_withdrawn_is_closed_and_can_no_longer_be_merged(
        self, forge: Forge, project: ForgeProject
    ) -> None:
        forge.withdraw(project, forge.propose(project, CHANGE, None))
        assert forge.proposals(CHANGE.branch)[project.id].state == "closed"
        assert project.id not in forge.opened_with("pipegraft")

    def test_what_is_merged_can_be_undone_byte_for_byte(
        self, forge: Forge, project: ForgeProject, happen: Happen
    ) -> None:
        forge.propose(project, CHANGE, None)
        happen("merge", project, CHANGE.branch)
        merged = forge.proposals(CHANGE.branch)[project.id]
        undo = replace(CHANGE, branch="pipegraft/raise-revert", files={}, before={}, key="0")
        forge.revert(project, merged, undo)
        assert forge.read(project, "pin.txt") == "v2\n"
        happen("merge", project, undo.branch)
        assert {path: forge.read(project, path) for path in forge.paths(project)} == FILES

    def test_a_project_without_pipelines_has_none(self, forge: Forge, project: ForgeProject) -> None:
        assert list(forge.runs(project, 5)) == []
