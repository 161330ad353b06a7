"""What a fleet merged is taken back exactly, however the project merges, and whatever the server does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gitlab_double import Refused
from group_double import Lab

from pipegraft.core.errors import UsageError
from pipegraft.fleet.adapters import GitLabGroup
from pipegraft.fleet.ports import ForgeProject
from pipegraft.testing.iac_suite import CHANGE, FILES

UNDO = replace(CHANGE, branch="pipegraft/raise-revert", files={}, before={}, key="0", title="Take it back")


def project_with(lab: Lab, forge: GitLabGroup, **settings: object) -> ForgeProject:
    lab.add("one", FILES, **settings)
    (project,) = forge.projects()
    return project


def add_commit(lab: Lab, branch: str, files: dict[str, str | None]) -> None:
    held = lab.repositories[1]
    held.write(branch, held.name(branch), "by a person", files)


def merge(lab: Lab, branch: str, *, squash: bool = False) -> None:
    (request,) = lab.opened(branch)
    request["squash"] = squash
    lab.merge(request, at=5.0)


def undo(forge: GitLabGroup, project: ForgeProject) -> None:
    forge.revert(project, forge.proposals(CHANGE.branch)[project.id], UNDO)


@pytest.mark.parametrize("helped", [False, True])
@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("squash", [False, True])
@pytest.mark.parametrize("method", ["merge", "rebase_merge", "ff"])
def test_every_way_to_merge_is_undone_as_a_whole(
    lab: Lab, forge: GitLabGroup, *, method: str, squash: bool, moved: bool, helped: bool
) -> None:
    project = project_with(lab, forge, merge_method=method)
    forge.propose(project, CHANGE, None)
    if helped:  # somebody makes the change fit before it is merged
        add_commit(lab, CHANGE.branch, {"pin.txt": "v2 # fits\n", "fits.txt": "x\n"})
        lab.opened()[0]["sha"] = lab.repositories[1].name(CHANGE.branch)
    if moved:
        add_commit(lab, "main", {"elsewhere.txt": "y\n"})
    before = lab.files(1)
    merge(lab, CHANGE.branch, squash=squash)
    assert lab.files(1)["new.txt"] == "new\n"
    add_commit(lab, "main", {"later.txt": "z\n"})
    undo(forge, project)
    merge(lab, UNDO.branch)
    assert lab.files(1) == {**before, "later.txt": "z\n"}


def test_what_cannot_be_undone_by_itself_leaves_no_branch(lab: Lab, forge: GitLabGroup) -> None:
    project = project_with(lab, forge)
    forge.propose(project, CHANGE, None)
    merge(lab, CHANGE.branch)
    add_commit(lab, "main", {"pin.txt": "v3\n"})
    with pytest.raises(UsageError, match="we cannot revert this commit automatically"):
        undo(forge, project)
    assert not lab.opened()
    assert lab.repositories[1].name(UNDO.branch) is None


@pytest.mark.parametrize("end", ["branches", "revert", "merge_requests"])
def test_an_answer_that_is_lost_is_not_acted_on_twice(
    lab: Lab, forge: GitLabGroup, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    project = project_with(lab, forge)
    before = lab.files(1)
    forge.propose(project, CHANGE, None)
    merge(lab, CHANGE.branch)
    lost = [502]

    def lose(method: str, path: str) -> None:
        if method == "POST" and path.endswith(end) and lost:
            raise Refused(lost.pop(), "bad gateway")

    lab.after = lose
    undo(forge, project)
    assert not lost
    merge(lab, UNDO.branch)
    assert lab.files(1) == before
