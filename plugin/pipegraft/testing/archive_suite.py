"""What every `IacArchive` does, whatever is behind it.

Subclass `IacArchiveSuite` in a test module and give it a fixture `opened`: a function that makes a branch
with a first commit that holds the given files, and answers the branch and a function that opens its archive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipegraft.iac.ports.archive import IacArchive, Signed
from pipegraft.iac.ports.repository import IacRepository

__all__ = ["IacArchiveSuite", "Opened"]

Opened = Callable[[Mapping[str, str]], tuple[IacRepository, Callable[[], IacArchive]]]
"""Files of the first commit → the branch, and what opens its archive anew."""

_FILES = {
    "app.yaml": "app: shop\n",
    "environments/production.yaml": "a: 1\n",
    "environments/staging.yaml": "b: 1\n",
    "environments/deep/other.yaml": "c: 1\n",
}
_PATH = "environments/production.yaml"


class IacArchiveSuite:
    """The contract of `IacArchive`."""

    def test_every_version_of_a_file_is_told_newest_first(self, opened: Opened) -> None:
        branch, archive_of = opened(_FILES)
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
        branch, archive_of = opened(_FILES)
        both = branch.commit({_PATH: "a: 2\n", "environments/staging.yaml": "b: 2\n"}, "both", branch.tip())
        newest = archive_of().versions([_PATH, "environments/staging.yaml"])[0]
        assert newest.commit.id == both
        assert set(newest.contents) == {_PATH, "environments/staging.yaml"}

    def test_a_folder_lists_its_files_alone(self, opened: Opened) -> None:
        _, archive_of = opened(_FILES)
        archive = archive_of()
        assert list(archive.folder("environments")) == ["production.yaml", "staging.yaml"]
        assert list(archive.folder("")) == ["app.yaml"]
        assert list(archive.folder("absent")) == []

    def test_a_commit_without_a_signature_has_none(self, opened: Opened) -> None:
        branch, archive_of = opened(_FILES)
        archive = archive_of()
        archive.versions([_PATH])
        assert archive.signatures([branch.tip()])[branch.tip()].state is Signed.NONE
        assert archive.signatures([]) == {}
