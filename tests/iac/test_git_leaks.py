"""What a branch opens it closes: descriptors, processes, threads and folders, however long it is watched."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import pytest
from git_repositories import FILES, git, make_repository

from pipegraft.iac.adapters import git as git_branch
from pipegraft.iac.adapters.git import GitBranch, open_branch

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="/proc says what is open")


def held() -> tuple[int, int, int]:
    """Descriptors, children and threads of this process, without those that only wait for their end."""
    gc.collect()
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join()
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    return len(os.listdir("/proc/self/fd")), len(children), threading.active_count()  # noqa: PTH208 - itself open


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "private"
    folder.mkdir()
    monkeypatch.setattr(git_branch, "private_folder", lambda: folder)
    return folder


def open_fetched(tmp_path: Path) -> GitBranch:
    """A branch that is fetched, by a helper of git's own that runs the server as a program."""
    environment = {**os.environ, "GIT_ALLOW_PROTOCOL": "ext", "GIT_CONFIG_GLOBAL": os.devnull}
    return open_branch(f"ext::git %s {tmp_path}/iac.git", "main", tmp_path, environment=environment)


def test_what_is_closed_leaves_nothing_behind(tmp_path: Path, private: Path) -> None:
    make_repository(tmp_path, FILES)
    before = held()
    for _ in range(12):
        branch = open_branch("iac.git", "main", tmp_path)
        assert branch.read("app.yaml", branch.tip())
        branch.close()
    assert held() == before
    assert not [path for path in private.iterdir() if path.is_dir()]


def test_a_branch_that_is_watched_for_long_begins_anew_and_holds_no_more_than_at_first(
    tmp_path: Path, private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_branch, "_MOST_PACKS", 3)
    make_repository(tmp_path, FILES)
    watched, writer = open_fetched(tmp_path), open_branch("iac.git", "main", tmp_path)
    writer.commit({"app.yaml": "app: first\n"}, "change", writer.tip())
    assert watched.read("app.yaml", watched.tip())
    before, folders = held(), len([path for path in private.iterdir() if path.is_dir()])
    used = set()
    for number in range(10):
        writer.commit({"app.yaml": f"app: shop-{number}\n"}, "change", writer.tip())
        assert watched.read("app.yaml", watched.tip()) == f"app: shop-{number}\n"
        used |= {path.name for path in private.iterdir() if path.is_dir()}
    assert len(used) > folders, "it never began anew"
    assert held() == before
    assert len([path for path in private.iterdir() if path.is_dir()]) == folders
    watched.close()
    writer.close()
    assert git(tmp_path / "iac.git", "rev-list", "--count", "main").strip() == "12"
