"""The whole chain with real processes: kill any of them at any commit, run the same command, same end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipegraft.demo.world import Traffic, World, ask

pytestmark = pytest.mark.e2e
ENVIRONMENT = "environments/production.yaml"
DEADLINE = 60.0


class Chain:
    """The demonstration's world with an engine whose processes a test can kill."""

    def __init__(self, root: Path) -> None:
        self.world = World(root)
        self.world.prepare()
        self.url = ""
        self.engine: subprocess.Popen[bytes] | None = None

    def start_engine(self) -> None:
        words = ["engine", "--repository", str(self.world.iac), "--env", "production"]
        words += ["--state", str(self.world.state), "--poll", "200ms"]
        words += ["--listen", self.url.removeprefix("http://") or "127.0.0.1:0"]
        record = self.world.state / "engine.json"
        record.unlink(missing_ok=True)
        with (self.world.root / "engine.log").open("ab") as log:
            self.engine = subprocess.Popen(
                [sys.executable, "-m", "pipegraft", *words],
                env=self.world.environment,
                stdout=log,
                stderr=log,
            )
        wait_for(record.exists, "the engine starts")
        self.url = json.loads(record.read_text())["url"]

    def kill_engine(self) -> None:
        assert self.engine is not None
        self.engine.kill()
        self.engine.wait()

    def stop(self) -> None:
        if self.engine is not None and self.engine.poll() is not None:
            self.start_engine()  # a killed engine left its processes: the next one takes them over
        if self.engine is not None:
            self.engine.terminate()
            self.engine.wait(60)

    def status(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/applications/shop-production", timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def start_run(self) -> subprocess.Popen[bytes]:
        with (self.world.root / "run.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "pipegraft", "run"],
                cwd=self.world.source,
                env=self.world.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self) -> int:
        process = self.start_run()
        try:
            return process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(f"the run hangs; it said:\n{self.said()}") from None

    def said(self) -> str:
        return (self.world.root / "run.log").read_text()

    def tip(self) -> str:
        return self.world.git(self.world.iac, "rev-parse", "main").strip()

    def subjects(self) -> list[str]:
        return self.world.git(self.world.iac, "log", "--reverse", "--format=%s", "main").splitlines()

    def release(self, version: str, before: str) -> None:
        self.world.change("services/web/web.py", [(f'VERSION = "{before}"', f'VERSION = "{version}"')])
        self.world.commit(f"shop: {version}")


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE:.0f} s in vain: {what}"
        time.sleep(0.01)


@contextmanager
def running(chain: Chain) -> Iterator[Chain]:
    """The chain with its engine, once the first release serves; all of it ends with the block."""
    try:
        chain.start_engine()
        assert chain.run() == 0, chain.said()
        yield chain
    finally:
        chain.stop()


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    with running(Chain(tmp_path)) as chain:
        yield chain


def test_the_run_is_killed_after_each_commit(chain: Chain) -> None:
    entrance = chain.status()["entrances"]["web"]
    known = len(chain.subjects())
    chain.release("v2", "v1")
    with Traffic(entrance):
        kills = 0
        while True:
            tip = chain.tip()
            run = chain.start_run()
            wait_for(
                lambda run=run, tip=tip: run.poll() is not None or chain.tip() != tip, "a commit or the end"
            )  # type: ignore[misc]
            if run.poll() is not None:
                break
            run.kill()
            run.wait()
            kills += 1
            assert kills < 10, chain.subjects()
    assert run.returncode == 0, chain.said()
    steps = chain.subjects()[known:]
    assert len(steps) == len(set(steps)) == kills, steps  # every commit once: nothing was done twice
    assert len(steps) == 5, steps  # prepared, 10 %, 50 %, taken over, promoted
    assert "gray:" not in chain.world.iac_file(ENVIRONMENT).decode()
    assert {ask(entrance) for _ in range(20)} == {(200, "v2")}
    assert chain.run() == 0
    assert len(chain.subjects()[known:]) == 5, "running once more changes nothing"


def test_the_engine_the_proxy_and_the_workloads_are_killed_in_a_gray_release(chain: Chain) -> None:
    entrance = chain.status()["entrances"]["web"]
    known = len(chain.subjects())
    chain.release("v2", "v1")
    with Traffic(entrance):
        run = chain.start_run()
        wait_for(lambda: len(chain.subjects()) >= known + 2, "the first weight")
        chain.kill_engine()
        processes = processes_of(chain.world)
        assert any(" proxy " in args for args in processes.values())
        assert len(processes) >= 5, processes  # the proxy, and both versions with their sidecars
        for pid in processes:
            os.kill(pid, signal.SIGKILL)
        chain.start_engine()
        code = run.wait(DEADLINE)
    for _again in range(3):  # an interrupted look may end a run with "safe to run again"
        if code == 0:
            break
        assert code == 3, chain.said()
        with Traffic(entrance):
            code = chain.run()
    assert code == 0, chain.said()
    wait_for(lambda: {ask(entrance) for _ in range(10)} == {(200, "v2")}, "v2 serves")
    assert not set(processes_of(chain.world)) & set(processes)


def processes_of(world: World) -> dict[int, str]:
    """Everything the engine keeps running: the proxy, named after its folder, and instances, in theirs."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode().replace("\0", " ")
            folder = str((process / "cwd").readlink())
        except OSError:
            continue  # it ended meanwhile
        if str(world.state) in words + folder and " engine " not in words:
            found[int(process.name)] = words
    return found


def test_the_demonstration_itself_is_killed_and_the_same_command_starts_it_anew(tmp_path: Path) -> None:
    world = World(tmp_path / "kept")
    words = [sys.executable, "-m", "pipegraft", "demo", "--keep", str(world.root)]
    with (tmp_path / "demo.log").open("wb") as log:
        demo = subprocess.Popen(words, env=world.environment, stdout=log, stderr=log)
    wait_for(lambda: processes_of(world) or demo.poll() is not None, "the engine runs something")
    assert demo.poll() is None, (tmp_path / "demo.log").read_text()
    demo.kill()
    demo.wait()
    world.claim()
    assert processes_of(world) == {}
    assert sorted(path.name for path in world.root.iterdir()) == [".pipegraft-demo"]


def test_the_demonstration_takes_no_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    words = [sys.executable, "-m", "pipegraft", "demo", "--keep", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected an empty folder, found files in" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
