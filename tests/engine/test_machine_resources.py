"""Resources on this machine: real files, and real servers where they are installed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipegraft.appspec.resource_ports import HostedResource, HostedState
from pipegraft.core.errors import OutsideError
from pipegraft.engine.adapters import resource_drivers
from pipegraft.engine.adapters.machine_resources import MachineResources
from pipegraft.engine.adapters.resource_drivers import Running, Wanted
from pipegraft.engine.adapters.supervision import strays

KEY = ("space", "thing")
LISTEN = """\
import os, signal, socket, sys
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
print("started with", os.environ["LEVEL"], flush=True)
if os.environ["LEVEL"] == "broken":
    sys.exit("cannot work")
with socket.create_server(("127.0.0.1", int(os.environ["PORT"]))) as server:
    while True:
        server.accept()[0].close()
"""


def listening(wanted: Wanted) -> Running:
    """A server of a few lines, run like the real ones."""
    env = {"PORT": str(wanted.port), "LEVEL": wanted.params["level"]}
    outputs = {"port": str(wanted.port), "password": wanted.password}
    return Running(outputs, (sys.executable, "-c", LISTEN), env)


class World:
    """A machine, on which the engine may start again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.restart()

    def restart(self) -> None:
        self.host = MachineResources(self.folder / "resources", self.folder / "outputs")

    def ensure(self, kind: str = "listening", **params: Any) -> HostedState:
        wanted = HostedResource(KEY[1], KEY[0], f"{kind}.default#a.b", kind, "thing-secret", params)
        return self.host.ensure([wanted], end_others=True)[KEY]

    def until(self, reached: Callable[[HostedState], bool], **params: Any) -> HostedState:
        end = time.monotonic() + 60
        while not reached(state := self.ensure(**params)):
            assert time.monotonic() < end, state
            time.sleep(0.01)
        return state

    def output(self, name: str) -> str:
        return (self.folder / "outputs" / "thing-secret" / name).read_text()

    @property
    def processes(self) -> list[int]:
        mark = f"resource:{self.folder / 'resources' / KEY[0] / KEY[1]}"
        return [process.pid for process in strays(mark)]


def is_ready(state: HostedState) -> bool:
    return state.ready


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setitem(resource_drivers.DRIVERS, "listening", listening)  # type: ignore[arg-type] # a dict
    world = World(tmp_path)
    yield world
    world.host.end()
    assert world.processes == []


def test_a_server_starts_and_tells_what_it_is_reached_by(world: World) -> None:
    first = world.ensure(level="one")
    assert (first.ready, first.usable) == (False, False)
    state = world.until(is_ready, level="one")
    assert state.usable
    assert state.message == f"listens on port {world.output('port')}"
    with socket.create_connection(("127.0.0.1", int(world.output("port")))):
        pass


def test_secrets_are_for_their_owner_alone(world: World) -> None:
    world.until(is_ready, level="one")
    holding = [
        path
        for path in world.folder.rglob("*")
        if path.is_file() and world.output("password") in path.read_text()
    ]
    assert holding
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in holding)
    assert stat.S_IMODE((world.folder / "outputs").stat().st_mode) == 0o700


def test_the_next_engine_finds_it_again(world: World) -> None:
    world.until(is_ready, level="one")
    before = (world.output("port"), world.output("password"), world.processes)
    world.restart()
    world.until(is_ready, level="one")
    assert (world.output("port"), world.output("password"), world.processes) == before


def test_a_server_that_was_killed_comes_back_as_it_was(world: World) -> None:
    world.until(is_ready, level="one")
    before = (world.output("port"), world.output("password"))
    (process,) = world.processes
    os.kill(process, signal.SIGKILL)
    state = world.until(lambda state: not state.ready, level="one")
    assert state.usable, "its outputs stay as they are"
    world.until(is_ready, level="one")
    assert world.processes != [process]
    assert (world.output("port"), world.output("password")) == before


def test_other_parameters_restart_it(world: World) -> None:
    world.until(is_ready, level="one")
    (before,) = world.processes
    world.until(lambda state: not state.ready, level="two")
    world.until(is_ready, level="two")
    assert world.processes != [before]
    log = (world.folder / "resources" / "space" / "thing" / "server.log").read_text()
    assert log.splitlines() == ["started with one", "started with two"]


def test_what_is_declared_no_more_ends_and_its_files_stay(world: World) -> None:
    world.until(is_ready, level="one")
    world.host.ensure([], end_others=False)
    assert len(world.processes) == 1
    end = time.monotonic() + 60
    while world.processes:
        assert time.monotonic() < end
        world.host.ensure([], end_others=True)
        time.sleep(0.01)
    port = world.output("port")
    world.until(is_ready, level="one")
    assert world.output("port") == port


def test_a_server_that_ends_at_once_is_told_with_its_last_words(world: World) -> None:
    state = world.until(lambda state: state.failed, level="broken")
    assert (state.ready, state.usable) == (False, False)
    assert state.message == "ended 3 times in a row"
    assert state.evidence[-1] == "cannot work"


def test_a_damaged_record_is_named(world: World) -> None:
    world.until(is_ready, level="one")
    world.host.end()
    record = world.folder / "resources" / "space" / "thing" / "resource.json"
    record.write_text('{"identity": ')
    with pytest.raises(OutsideError, match=str(record)):
        world.restart()


def test_a_start_that_never_was_is_made_again(world: World) -> None:
    home = world.folder / "resources" / "space" / "thing"
    home.mkdir(parents=True)
    (home / "resource.json").touch()
    world.restart()
    world.until(is_ready, level="one")


def test_sqlite(world: World) -> None:
    state = world.ensure("sqlite", journal="wal")
    assert state.ready
    with closing(sqlite3.connect(world.output("path"))) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        database.execute("CREATE TABLE orders (id INTEGER)")
        database.commit()
    world.restart()
    assert world.ensure("sqlite", journal="delete").ready
    with closing(sqlite3.connect(world.output("path"))) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert database.execute("SELECT name FROM sqlite_master").fetchone() == ("orders",)


def test_another_type_does_not_take_over_its_files(world: World) -> None:
    world.ensure("sqlite", journal="wal")
    state = world.until(is_ready, kind="sqlite", journal="wal")
    assert state.ready
    state = world.ensure("listening", level="one")
    assert state.failed
    assert "holds a sqlite; move it away" in state.message


@pytest.mark.parametrize(("kind", "program"), [("redis", "redis-server"), ("postgres", "postgres")])
def test_a_server_that_is_not_installed_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str, program: str
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(resource_drivers, "_DEBIAN", Path("/nowhere"))
    state = world.ensure(kind, memory="64Mi", persistent=False, database="app")
    assert state.failed
    assert program in state.message
    assert "not installed" in state.message
    assert "providers" in state.message


def test_another_version_than_is_wanted_is_named(world: World, tmp_path: Path) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho Redis server v=7.0.15 sha=0\n")
    program.chmod(0o755)
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{tmp_path}{os.pathsep}{path}"
    try:
        state = world.ensure("redis", version="6", memory="64Mi", persistent=False)
    finally:
        os.environ["PATH"] = path
    assert state.failed
    assert state.message.startswith("redis 6 is wanted, this machine has 7.0.15")
