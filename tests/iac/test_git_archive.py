"""The whole history of an IaC branch, over each way to read it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from git_http import serve
from git_repositories import git, make_repository

from pipegraft.core.errors import UsageError
from pipegraft.iac.adapters.git import GitBranch, open_branch
from pipegraft.iac.adapters.git.history import LocalArchives
from pipegraft.iac.archive import FakeArchive, IacArchive, Signed
from pipegraft.iac.ports import FakeIacRepository, IacRepository
from pipegraft.testing.iac_suite import IacArchiveSuite, Opened

PATH = "environments/production.yaml"


def opening(client: Callable[[], GitBranch]) -> tuple[IacRepository, Callable[[], IacArchive]]:
    kept: list[GitBranch] = []

    def archive() -> IacArchive:
        kept.append(client())  # an archive lives as long as its branch
        return kept[-1].archive

    return client(), archive


class TestFakeIsConformant(IacArchiveSuite):
    @pytest.fixture
    def opened(self) -> Opened:
        def make(files: Mapping[str, str]) -> tuple[IacRepository, Callable[[], IacArchive]]:
            fake = FakeIacRepository(files)
            return fake, lambda: FakeArchive(fake)

        return make


class TestLocalIsConformant(IacArchiveSuite):
    @pytest.fixture
    def opened(self, tmp_path: Path) -> Opened:
        def make(files: Mapping[str, str]) -> tuple[IacRepository, Callable[[], IacArchive]]:
            make_repository(tmp_path, files)
            return opening(lambda: open_branch("iac.git", "main", tmp_path))

        return make


class TestOverHttpIsConformant(IacArchiveSuite):
    @pytest.fixture(params=[True, False], ids=["filters", "no filters"])
    def opened(self, tmp_path: Path, request: pytest.FixtureRequest) -> object:
        with serve(tmp_path) as server:

            def make(files: Mapping[str, str]) -> tuple[IacRepository, Callable[[], IacArchive]]:
                bare = make_repository(tmp_path, files)
                git(bare, "config", "http.receivepack", "true")
                git(bare, "config", "uploadpack.allowFilter", str(request.param).lower())
                git(bare, "config", "uploadpack.allowAnySHA1InWant", "true")
                return opening(lambda: open_branch(f"{server.url}/iac.git", "main", tmp_path))

            yield make


class TestFetchedIsConformant(IacArchiveSuite):
    @pytest.fixture
    def opened(self, tmp_path: Path) -> Opened:
        def make(files: Mapping[str, str]) -> tuple[IacRepository, Callable[[], IacArchive]]:
            bare = make_repository(tmp_path, files)
            git(bare, "config", "uploadpack.allowFilter", "true")
            git(bare, "config", "uploadpack.allowAnySHA1InWant", "true")
            environment = {**os.environ, "GIT_ALLOW_PROTOCOL": "ext", "GIT_CONFIG_GLOBAL": os.devnull}
            return opening(
                lambda: open_branch(f"ext::git %s {bare}", "main", tmp_path, environment=environment)
            )

        return make


def test_a_merge_is_told_with_the_trailers_of_what_it_brought_in(tmp_path: Path) -> None:
    bare = make_repository(tmp_path, {PATH: "a: 1\n"})
    work = tmp_path / "work"
    git(work, "checkout", "-q", "-b", "release-7")
    (work / PATH).write_text("a: 2\n")
    git(work, "commit", "-qam", "bump\n\nPipegraft-App: shop\nPipegraft-Release: 7")
    git(work, "checkout", "-q", "main")
    git(work, "merge", "-q", "--no-ff", "-m", "Merge branch 'release-7'", "release-7")
    git(work, "push", "-q", str(bare), "main")
    branch = open_branch("iac.git", "main", tmp_path)
    versions = branch.archive.versions([PATH])
    newest = versions[0]
    assert newest.commit.subject == "Merge branch 'release-7'"
    assert newest.trailers["Pipegraft-Release"] == "7"
    with closing(LocalArchives(os.environ)) as archives:
        assert archives.open(bare, branch.tip()).versions([PATH]) == versions


def test_many_local_archives_tell_what_a_branch_tells_whatever_the_settings_there(tmp_path: Path) -> None:
    with closing(LocalArchives(os.environ)) as archives:
        for number in range(2):
            (tmp_path / str(number)).mkdir()
            bare = make_repository(
                tmp_path / str(number), {PATH: f"a: {number}\n", "app.yaml": "app: shop\n"}
            )
            git(bare, "config", "log.showSignature", "true")
            git(bare, "config", "gpg.program", "/bin/false")
            branch = open_branch("iac.git", "main", bare.parent)
            local = archives.open(bare, branch.tip())
            assert local.files() == branch.archive.files()
            assert list(local.files()) == ["app.yaml", PATH]
            assert local.versions([PATH]) == branch.archive.versions([PATH])
            assert list(local.contents([local.files()[PATH], "0" * 40])) == [
                (branch.archive.files()[PATH], f"a: {number}\n")
            ]
        (bare / "shallow").write_text(f"{branch.tip()}\n")
        with pytest.raises(UsageError, match="shallow clone"):
            archives.open(bare, branch.tip())


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, Path]:
    """A repository whose newest commit is signed by an SSH key, and the list of allowed signers."""
    bare = make_repository(tmp_path, {PATH: "a: 1\n"})
    key, work = tmp_path / "key", tmp_path / "work"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    settings = ("-c", "gpg.format=ssh", "-c", f"user.signingKey={key}")
    (work / PATH).write_text("a: 2\n")
    git(work, *settings, "commit", "-q", "-S", "-a", "-m", "two")
    git(work, "push", "-q", str(bare), "main")
    allowed = tmp_path / "allowed"
    allowed.write_text(f"ada@example.com {(tmp_path / 'key.pub').read_text()}")
    return bare, allowed


def test_a_signature_is_checked_against_the_allowed_signers(
    tmp_path: Path, signed: tuple[Path, Path]
) -> None:
    _, allowed = signed
    settings = tmp_path / "gitconfig"
    settings.write_text(f'[gpg "ssh"]\n\tallowedSignersFile = {allowed}\n')
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": str(settings)}
    branch = open_branch("iac.git", "main", tmp_path, environment=environment)
    newest, first = (one.commit.id for one in branch.archive.versions([PATH]))
    found = branch.archive.signatures([newest, first])
    assert (found[newest].state, found[newest].by) == (Signed.GOOD, "ada@example.com")
    assert found[first].state is Signed.NONE
    allowed.write_text("")
    assert branch.archive.signatures([newest])[newest].state in {Signed.UNTRUSTED, Signed.UNKNOWN}


def test_a_signature_of_an_unknown_key_is_told_from_none(tmp_path: Path, signed: tuple[Path, Path]) -> None:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    branch = open_branch("iac.git", "main", tmp_path, environment=environment)
    newest = branch.archive.versions([PATH])[0].commit.id
    assert branch.archive.signatures([newest])[newest].state is Signed.UNKNOWN
