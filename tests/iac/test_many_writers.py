"""A hundred writers of one branch: all get through, on one machine and as separate machines."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from git_repositories import FILES, git, make_repository

from pipegraft.core.errors import TipMoved
from pipegraft.iac import optimistic_commit
from pipegraft.iac.adapters.git import open_branch
from pipegraft.iac.optimistic_commit import Changes, Read, Rewritten, rewrite
from pipegraft.iac.ports import FakeIacRepository

WRITERS = 100


class Server(FakeIacRepository):
    """A branch whose server takes a while for each request and one push at a time."""

    def __init__(self, seconds: float) -> None:
        super().__init__({})
        self.seconds = seconds
        self.pushing = threading.Lock()

    def tip(self) -> str:
        time.sleep(self.seconds)
        return super().tip()

    def commit(self, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        time.sleep(self.seconds)
        with self.pushing:
            if parent != super().tip():
                raise TipMoved("moved")
            return super().commit(changes, message, parent)


class OneMachine(Server):
    """The same for writers who queue on one machine."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.queue = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        with self.queue:
            yield


def add(number: int) -> Changes:
    return Changes({f"{number}.yaml": "image: new\n"}, f"release {number}")


@pytest.mark.parametrize("kind", [Server, OneMachine])
def test_a_hundred_writers_all_get_through(kind: type[Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimistic_commit, "_SHORTEST", 0.002)
    branch = kind(0.001)
    with ThreadPoolExecutor(WRITERS) as pool:
        written = list(pool.map(lambda number: rewrite(branch, lambda _read: add(number)), range(WRITERS)))
    tip = branch.tip()
    assert all(one.written for one in written)
    assert all(branch.read(f"{number}.yaml", tip) for number in range(WRITERS))
    assert len({one.commit for one in written}) == WRITERS


@pytest.mark.parametrize("machines", ["one", "many"])
def test_real_writers_meet_and_lose_nothing(
    machines: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = make_repository(tmp_path, FILES)
    folders = iter([tmp_path / f"machine-{number}" for number in range(100)])

    def machine() -> Path:
        folder = next(folders)
        folder.mkdir()
        return folder

    if machines == "many":
        monkeypatch.setattr("pipegraft.iac.adapters.git.private_folder", machine)

    def write(number: int) -> Rewritten:
        branch = open_branch("iac.git", "main", tmp_path)
        try:
            return rewrite(branch, lambda _read: add(number))
        finally:
            branch.close()

    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(write, range(8)))
    assert all(one.written for one in written)
    names = git(bare, "ls-tree", "--name-only", "main").split()
    assert {f"{number}.yaml" for number in range(8)} <= set(names)


def test_an_edit_is_made_on_what_the_one_before_wrote() -> None:
    branch = Server(0.0)

    def count(read: Read) -> Changes:
        return Changes({"count": str(int(read("count") or 0) + 1)}, "count")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: rewrite(branch, count), range(8)))
    assert branch.read("count", branch.tip()) == "8"
