"""What every `IacBranch`, `IacArchive` and `Forge` does, whatever is behind it.

Subclass `IacBranchSuite` and give it a fixture `clients`: a function that makes a branch with a first
commit that holds the given files, and answers a function that opens it anew. Subclass `IacArchiveSuite` and
give it `opened`: a function that makes such a branch, and answers it and a function that opens its archive.
Subclass `ForgeSuite` and give it `forge`, a forge whose group has one project, with the files of `FILES`,
and `happen`: a function that merges or closes what is proposed to a project from a branch:
``happen("merge", project, branch)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from pipegraft.core.errors import TipMoved, UsageError
from pipegraft.fleet.ports import Change, Forge, ForgeProject
from pipegraft.iac.archive import IacArchive, Signed
from pipegraft.iac.ports import IacBranch, IacRepository

__all__ = [
    "CHANGE",
    "FILES",
    "Clients",
    "ForgeSuite",
    "Happen",
    "IacArchiveSuite",
    "IacBranchSuite",
    "Opened",
]


Clients = Callable[[Mapping[str, str]], Callable[[], IacBranch]]
"""Files of the first commit → opens another client of the branch."""

_FILES = {
    "app.yaml": "app: shop\n",
    "environments/production.yaml": "components:\r\n  web: {image: ä}   # no newline at the end",
    "other/deep/down.yaml": "x: 1\n",
}


class IacBranchSuite:
    """The contract of `IacRepository` and `IacHistory`."""

    def test_reads_texts_exactly(self, clients: Clients) -> None:
        branch = clients(_FILES)()
        tip = branch.tip()
        assert {path: branch.read(path, tip) for path in _FILES} == _FILES

    def test_a_folder_is_read_at_once(self, clients: Clients) -> None:
        branch = clients(_FILES)()
        tip = branch.tip()
        whole = {path: text.encode() for path, text in _FILES.items()}
        assert branch.files_below("", tip) == whole
        assert branch.files_below("other", tip) == {"other/deep/down.yaml": b"x: 1\n"}
        assert branch.files_below("absent/folder", tip) == {}
        assert branch.files_below("app.yaml", tip) == {}

    def test_files_are_found_by_what_they_hold(self, clients: Clients) -> None:
        branch = clients({**_FILES, "x.txt": "x: 1\n"})()
        tip = branch.tip()
        assert branch.files_holding(("x: 1", "y: 1"), tip) in (None, {"other/deep/down.yaml": b"x: 1\n"})
        assert not branch.files_holding(("y: 1",), tip)

    def test_what_is_not_a_file_reads_as_none(self, clients: Clients) -> None:
        branch = clients(_FILES)()
        tip = branch.tip()
        for path in (
            "absent.yaml",
            "absent/app.yaml",
            "environments",
            "app.yaml/below",
            "environments/absent",
        ):
            assert branch.read(path, tip) is None

    def test_a_commit_changes_its_files_alone(self, clients: Clients) -> None:
        open_client = clients(_FILES)
        branch = open_client()
        parent = branch.tip()
        made = branch.commit({"environments/production.yaml": "new\n"}, "bump", parent)
        seen = open_client()
        assert seen.tip() == made
        assert {path: seen.read(path, made) for path in _FILES} == _FILES | {
            "environments/production.yaml": "new\n"
        }
        assert seen.read("environments/production.yaml", parent) == _FILES["environments/production.yaml"]

    def test_creates_folders_and_removes_what_is_deleted(self, clients: Clients) -> None:
        open_client = clients(_FILES)
        branch = open_client()
        made = branch.commit({"a/b/c.yaml": "1\n", "other/deep/down.yaml": None}, "move", branch.tip())
        seen = open_client()
        assert seen.read("a/b/c.yaml", made) == "1\n"
        assert seen.read("other/deep/down.yaml", made) is None
        assert seen.read("app.yaml", made) == "app: shop\n"

    def test_an_old_parent_changes_nothing(self, clients: Clients) -> None:
        open_client = clients(_FILES)
        first, second = open_client(), open_client()
        parent = first.tip()
        made = second.commit({"theirs.yaml": "1\n"}, "theirs", parent)
        try:
            first.commit({"ours.yaml": "1\n"}, "ours", parent)
        except TipMoved:
            pass
        else:
            raise AssertionError("expected TipMoved")
        seen = open_client()
        assert seen.tip() == made
        assert seen.read("ours.yaml", made) is None
        again = first.commit({"ours.yaml": "1\n"}, "ours", first.tip())
        assert open_client().read("theirs.yaml", again) == "1\n"

    def test_a_path_that_leaves_the_repository_is_refused(self, clients: Clients) -> None:
        branch = clients(_FILES)()
        tip = branch.tip()
        for path in ("../outside", "/absolute", "a//b", ".git/config", ""):
            try:
                branch.commit({path: "x"}, "bad", tip)
            except UsageError:
                continue
            raise AssertionError(f"expected UsageError for {path!r}")
        assert branch.tip() == tip

    def test_a_path_through_a_file_is_refused(self, clients: Clients) -> None:
        branch = clients(_FILES)()
        tip = branch.tip()
        for path in ("app.yaml/below.yaml", "environments"):
            try:
                branch.commit({path: "x"}, "bad", tip)
            except UsageError:
                continue
            raise AssertionError(f"expected UsageError for {path!r}")
        assert branch.tip() == tip

    def test_contains_is_ancestry(self, clients: Clients) -> None:
        open_client = clients(_FILES)
        branch = open_client()
        names = [branch.tip()]
        for number in range(3):
            names.append(branch.commit({"n.yaml": f"{number}\n"}, f"number {number}", names[-1]))
        seen = open_client()
        for older, revision in enumerate(names):
            for newer, at in enumerate(names):
                assert seen.contains(revision, at) is (older <= newer)
        assert not seen.contains("0" * 40, names[-1])
        assert not seen.contains(names[0], "0" * 40)
        assert not seen.contains("main", names[-1])

    def test_the_log_knows_who_changed_a_path(self, clients: Clients) -> None:
        open_client = clients(_FILES)
        branch = open_client()
        first = branch.tip()
        second = branch.commit({"environments/production.yaml": "2\n"}, _MESSAGE, first)
        third = branch.commit({"app.yaml": "3\n"}, "other file", second)
        seen = open_client()
        assert [commit.id for commit in seen.log()] == [third, second, first]
        found = seen.log("environments/production.yaml")
        assert [commit.id for commit in found] == [second, first]
        assert found[0].parent == first
        assert found[0].subject == "shop: release 13"
        assert found[0].trailers == {"Pipegraft-App": "shop", "Pipegraft-Release": "13"}
        assert [commit.id for commit in seen.log(limit=2)] == [third, second]
        assert [commit.id for commit in seen.log("environments/production.yaml", limit=1)] == [second]
        assert seen.log("absent.yaml") == []
        assert (
            seen.read("environments/production.yaml", found[1].id) == _FILES["environments/production.yaml"]
        )


_MESSAGE = """\
shop: release 13

Why it is there: a colon in the body is no trailer.

Pipegraft-App: shop
Pipegraft-Release: 13
"""


Opened = Callable[[Mapping[str, str]], tuple[IacRepository, Callable[[], IacArchive]]]
"""Files of the first commit → the branch, and what opens its archive anew."""

_ARCHIVED = {
    "app.yaml": "app: shop\n",
    "environments/production.yaml": "a: 1\n",
    "environments/staging.yaml": "b: 1\n",
    "environments/deep/other.yaml": "c: 1\n",
}
_PATH = "environments/production.yaml"


class IacArchiveSuite:
    """The contract of `IacArchive`."""

    def test_every_version_of_a_file_is_told_newest_first(self, opened: Opened) -> None:
        branch, archive_of = opened(_ARCHIVED)
        first = branch.tip()
        second = branch.commit({_PATH: "a: 2\n"}, "two\n\nPipegraft-App: shop\n", first)
        other = branch.commit({"environments/staging.yaml": "b: 2\n"}, "other", second)
        third = branch.commit({_PATH: None}, "three", other)
        archive = archive_of()
        versions = archive.versions([_PATH])
        assert [one.commit.id for one in versions] == [third, second, first]
        assert [one.commit.parent for one in versions] == [other, first, None]
        assert [set(one.contents) for one in versions] == [{_PATH}] * 3
        assert versions[0].contents[_PATH] is None
        assert versions[1].trailers == {"Pipegraft-App": "shop"}
        names = [name for one in versions[1:] if (name := one.contents[_PATH])]
        assert [text for _, text in archive.contents(names)] == ["a: 2\n", "a: 1\n"]

    def test_several_paths_are_told_together(self, opened: Opened) -> None:
        branch, archive_of = opened(_ARCHIVED)
        both = branch.commit({_PATH: "a: 2\n", "environments/staging.yaml": "b: 2\n"}, "both", branch.tip())
        newest = archive_of().versions([_PATH, "environments/staging.yaml"])[0]
        assert newest.commit.id == both
        assert set(newest.contents) == {_PATH, "environments/staging.yaml"}

    def test_a_folder_lists_its_files_alone(self, opened: Opened) -> None:
        _, archive_of = opened(_ARCHIVED)
        archive = archive_of()
        assert list(archive.folder("environments")) == ["production.yaml", "staging.yaml"]
        assert list(archive.folder("")) == ["app.yaml"]
        assert list(archive.folder("absent")) == []

    def test_a_commit_without_a_signature_has_none(self, opened: Opened) -> None:
        branch, archive_of = opened(_ARCHIVED)
        archive = archive_of()
        archive.versions([_PATH])
        assert archive.signatures([branch.tip()])[branch.tip()].state is Signed.NONE
        assert archive.signatures([]) == {}


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
