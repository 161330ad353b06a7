"""kill -9 of a writer at any moment: the branch is before or after, and the next run leaves no rest."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from git_http import serve
from git_repositories import FILES, git, make_repository, serve_repository

from pipegraft.iac.adapters.git import open_branch
from pipegraft.iac.adapters.git.remotes import BranchLock

WRITER = """\
import sys
from pathlib import Path
from pipegraft.iac.adapters.git import open_branch
from pipegraft.core.errors import TipMoved
branch = open_branch(sys.argv[1], "main", Path(), folder="")
number = 0
print("started", flush=True)
while True:
    path = "environments/production.yaml"
    files = {path: f"a: {number}\\nb: {number}\\n", "app.yaml": f"app: {number}\\n"}
    try:
        with branch.turn():
            branch.commit(files, "bump", branch.tip())
    except TipMoved:  # by a push that the server finished after its writer's death
        continue
    number += 1
    print(number, flush=True)
"""


def write_until_killed(repository: str, temporary: Path, seconds: float) -> None:
    """Run a writer in a process group of its own and kill all of it."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, repository],
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"started\n"
        assert writer.stdout.readline()  # at least one commit
        time.sleep(seconds)  # the moment of death, not a wait for anything
        os.killpg(writer.pid, signal.SIGKILL)


def remove_locks(bare: Path) -> None:
    """What `Locked` tells people to do: git's own locks, of a branch or HEAD, outlive a killed writer."""
    for lock in bare.rglob("*.lock"):
        lock.unlink()


def wait_for(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("transport", ["local", "http"])
def test_a_killed_writer_leaves_the_branch_before_or_after(transport: str, tmp_path: Path) -> None:
    bare = serve_repository(tmp_path, FILES)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    rng = random.Random(7)
    with serve(tmp_path) as server:
        repository = str(bare) if transport == "local" else f"{server.url}/iac.git"
        for _ in range(3):
            write_until_killed(repository, temporary, rng.uniform(0, 0.15))
            wait_for(lambda: server.running == 0)  # it may be finishing the push whose writer is dead
            git(bare, "fsck", "--strict", "--connectivity-only")
            tip = git(bare, "rev-parse", "main")
            number = git(bare, "show", f"{tip}:app.yaml").removeprefix("app: ")
            assert git(bare, "show", f"{tip}:environments/production.yaml") == f"a: {number}\nb: {number}"
            remove_locks(bare)


def test_what_a_killed_writer_left_on_this_machine_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = make_repository(tmp_path, FILES)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    write_until_killed(str(bare), temporary, 0)
    (folder,) = temporary.glob("pipegraft-*")
    assert [path for path in folder.iterdir() if path.is_dir()]
    for file in folder.glob("*.lock"):
        with file.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)  # a child on its way out may hold it still
    remove_locks(bare)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    branch = open_branch(str(bare), "main", tmp_path)
    with branch.turn():
        branch.commit({"app.yaml": "app: after\n"}, "change", branch.tip())
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 1
    branch.close()
    assert not [path for path in folder.iterdir() if path.suffix != ".turn"]  # the queue's file is for all


def test_turns_are_taken_one_at_a_time(tmp_path: Path) -> None:
    inside, most, done = 0, 0, 0

    def take() -> None:
        nonlocal inside, most, done
        for _ in range(20):
            with BranchLock(tmp_path, "branch").wait():
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)  # long enough for another thread to come in, if it could
                inside -= 1
                done += 1

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, done) == (1, 120)


def test_a_turn_that_never_comes_is_not_waited_for(tmp_path: Path) -> None:
    entered = []
    with BranchLock(tmp_path, "branch").wait(), BranchLock(tmp_path, "branch", patience=0.01).wait():
        entered.append(True)
    assert entered
