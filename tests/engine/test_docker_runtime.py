"""The docker runtime on a container engine in memory; tests/e2e runs the same suite on a real one."""

from __future__ import annotations

import queue
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import pytest

from pipegraft.core.errors import Unreachable, UsageError
from pipegraft.engine.adapters.docker_plan import (
    ENGINE,
    ContainerPlan,
    ContainerState,
    Ending,
)
from pipegraft.engine.adapters.docker_runtime import DockerRuntime
from pipegraft.engine.adapters.supplies import DockerImages, SecretFolder
from pipegraft.engine.ports import (
    Confinement,
    Container,
    Folder,
    HealthProbe,
    Instance,
    Mount,
    Phase,
    SecretKey,
    Workload,
)
from pipegraft.images.ports import FakeRegistry
from pipegraft.testing.engine_suite import RuntimeSuite, observe_until

IMAGE = "registry.example.com/web@sha256:" + "1" * 64
OTHER = "registry.example.com/web@sha256:" + "2" * 64
QUICK = HealthProbe(8080, period=0.05, failures=2)


@dataclass
class Held:
    """A container that listens where it is told."""

    plan: ContainerPlan
    status: str = "created"
    code: int = 0
    listening: tuple[socket.socket, ...] = ()

    def end(self, code: int) -> None:
        for one in self.listening:
            one.close()
        self.status, self.code, self.listening = "exited", code, ()


class Changes:
    def __init__(self) -> None:
        self.told: queue.Queue[bool] = queue.Queue()

    def __iter__(self) -> Iterator[object]:
        return iter(self.told.get, False)

    def close(self) -> None:
        self.told.put(False)


class Containers:
    """A container engine in memory: ``exit CODE`` ends at once, ``ignore`` ignores SIGTERM."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}
        self.made: dict[str, Mapping[str, str]] = {}
        self.images: set[str] = set()
        self.volumes: set[str] = set()
        self.order: list[str] = []
        self.listeners: list[Changes] = []
        self.gone = False

    def _tell(self) -> None:
        for one in self.listeners:
            one.told.put(True)

    def create(self, plan: ContainerPlan) -> None:
        assert plan.image in self.images
        assert (plan.network in self.made) != (plan.joins in self.held)
        self.held[plan.name] = Held(plan)
        self.volumes |= {one.source for one in plan.mounts if one.volume}

    def start(self, name: str) -> None:
        held = self.held[name]
        self.order.append(f"start {name.rpartition('.')[2]}")
        if held.plan.entrypoint == ("nothing",):
            raise UsageError("exec: nothing: executable file not found in $PATH")
        held.status = "running"
        held.listening = tuple(socket.create_server(("127.0.0.1", at)) for at in held.plan.ports.values())
        if held.plan.entrypoint[:1] == ("exit",):
            held.end(int(held.plan.entrypoint[1]))
        self._tell()

    def terminate(self, name: str) -> None:
        self.order.append(f"terminate {name.rpartition('.')[2]}")
        if name in self.held and self.held[name].plan.entrypoint[:1] != ("ignore",):
            self.held[name].end(143)
        self._tell()

    def kill(self, name: str) -> None:
        self.order.append(f"kill {name.rpartition('.')[2]}")
        if name in self.held:
            self.held[name].end(137)
        self._tell()

    def remove(self, name: str) -> None:
        if name in self.held:
            self.held.pop(name).end(137)
        self._tell()

    def containers(self, owner: str) -> Sequence[ContainerState]:
        if self.gone:
            raise Unreachable("the Docker engine cannot be used")
        return [
            ContainerState(name, one.status, one.plan.labels)
            for name, one in list(self.held.items())
            if one.plan.labels[ENGINE] == owner
        ]

    def ending(self, name: str) -> Ending | None:
        held = self.held[name]
        return (
            Ending(held.code, out_of_memory=held.plan.entrypoint[2:] == ("oom",))
            if held.status == "exited"
            else None
        )

    def log(self, name: str, lines: int) -> tuple[str, ...]:
        return ("boom",)

    def changes(self, owner: str) -> Changes:
        self.listeners.append(Changes())
        return self.listeners[-1]

    def make_network(self, name: str, labels: Mapping[str, str]) -> None:
        self.made[name] = labels

    def networks(self, owner: str) -> Mapping[str, Mapping[str, str]]:
        return {name: labels for name, labels in self.made.items() if labels[ENGINE] == owner}

    def remove_network(self, name: str) -> None:
        del self.made[name]

    def has_volume(self, name: str) -> bool:
        return name in self.volumes

    def remove_volume(self, name: str) -> None:
        self.volumes.discard(name)

    def user(self, image: str) -> str:
        return ""

    # Images

    def has(self, image: str) -> bool:
        return image in self.images

    def pull(self, image: str) -> None:
        if "missing" in image:
            raise UsageError(f"{image} cannot be pulled: not found")
        self.images.add(image)

    def load(self, archive: IO[bytes]) -> None:
        raise AssertionError

    def discard(self, image: str) -> bool:
        used = any(one.plan.image == image for one in self.held.values())
        if not used:
            self.images.discard(image)
        return not used


class Unpacked:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.kept: set[str] = set()

    def get(self, reference: str) -> tuple[Path, Mapping[str, Any]]:
        return self.root / "unpacked", {}

    def keep(self, references: Any) -> bool:
        self.kept = set(references)
        return True


@pytest.fixture
def engine() -> Containers:
    return Containers()


OpenRuntime = Callable[[], DockerRuntime]


@pytest.fixture
def open_runtime(engine: Containers, tmp_path: Path) -> Iterator[OpenRuntime]:
    """Opens the runtime anew, as the next engine does."""
    (tmp_path / "secrets/database").mkdir(parents=True)
    (tmp_path / "secrets/database/password").write_text("hunter2\n")
    opened: list[DockerRuntime] = []

    def open_anew() -> DockerRuntime:
        images = DockerImages(tmp_path / "images.json", engine, lambda _address: FakeRegistry())
        secrets = SecretFolder(tmp_path / "secrets")
        opened.append(DockerRuntime("me", engine, images, Unpacked(tmp_path), secrets=secrets, drain=0.0))
        return opened[-1]

    yield open_anew
    for runtime in opened:
        runtime.close()
    for held in engine.held.values():
        held.end(0)


@pytest.fixture
def runtime(open_runtime: OpenRuntime) -> DockerRuntime:
    return open_runtime()


@pytest.fixture
def workload() -> Workload:
    return Workload(
        "shop", "web", (Container("web", IMAGE, ("serve",), readiness=QUICK),), ports=(8080,), grace=0.1
    )


@pytest.fixture
def crashing() -> Workload:
    return Workload("shop", "job", (Container("main", IMAGE, ("exit", "3")),), grace=0.1)


def reach(runtime: DockerRuntime, workload: Workload, phase: Phase) -> Instance:
    name = runtime.start(workload)
    seen = observe_until(runtime, lambda seen: {one.id: one.phase for one in seen}[name] is phase)
    return next(one for one in seen if one.id == name)


class TestDockerRuntime(RuntimeSuite):
    """The contract, kept by containers."""


def test_the_parts_of_an_instance(runtime: DockerRuntime, engine: Containers, workload: Workload) -> None:
    shared = Folder("scratch", "/scratch", "ephemeral", in_memory=True, limit=1024)
    kept = Folder("data", "/data", "persistent")
    web = replace(
        workload.containers[0],
        env=(("A", "b"), ("URL", "x/$(A)"), ("PASSWORD", SecretKey("secret", "database", "password"))),
        env_from=(("secret", "database"),),
        args=("--to=$(URL)",),
        cpu=0.5,
        memory=1 << 20,
        folders=(shared, kept, Folder("tls", "/tls", "secret", "database", read_only=True)),
        confinement=Confinement(user=7, drop=("ALL",)),
    )
    guard = Container("guard", IMAGE, ("serve",), folders=(shared,), first=True)
    mounts = (
        Mount("rules", OTHER, "/rules"),
        Mount("data", OTHER, "/filled", Container("data", OTHER, ("exit", "0"))),
    )
    instance = reach(runtime, replace(workload, containers=(web, guard), mounts=mounts), Phase.READY)
    assert engine.order == ["start data", "start guard", "start web"]
    plans = {name.rpartition(".")[2]: held.plan for name, held in engine.held.items()}
    main, first = plans["web"], plans["guard"]
    assert (main.joins, main.network, main.ports) == (f"shop.{instance.id}.guard", None, {})
    assert (first.joins, first.network, first.alias) == (None, "pipegraft-me-shop", "web")
    assert instance.addresses == {8080: f"127.0.0.1:{first.ports[8080]}"}
    assert main.env == {"password": "hunter2", "A": "b", "URL": "x/b", "PASSWORD": "hunter2"}
    assert main.command == ("--to=x/b",)
    assert (main.cpu, main.memory, main.confinement) == (0.5, 1 << 20, Confinement(user=7, drop=("ALL",)))
    assert [(one.target, one.volume, one.read_only) for one in main.mounts] == [
        ("/rules", False, True),
        ("/filled", True, True),
        ("/scratch", True, False),
        ("/data", True, False),
        ("/tls", False, True),
    ]
    assert first.mounts == (main.mounts[2],)
    assert "hunter2" not in repr(main)
    runtime.stop(instance.id)
    observe_until(runtime, lambda seen: not seen)
    assert engine.order[-2:] == ["terminate web", "terminate guard"]
    assert engine.volumes == {"pipegraft-shop-web-data"}, "what persists stays"


def test_who_does_not_listen_is_killed_after_its_grace(runtime: DockerRuntime, engine: Containers) -> None:
    stubborn = Workload("shop", "web", (Container("web", IMAGE, ("ignore",)),), grace=0.1)
    instance = reach(runtime, stubborn, Phase.READY)
    runtime.stop(instance.id)
    observe_until(runtime, lambda seen: not seen)
    assert engine.order == ["start web", "terminate web", "kill web"]


SERVE = Container("main", IMAGE, ("serve",))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"command": ("exit", "3")}, "ended with exit status 3"),
        ({"command": ("exit", "137")}, "ended with exit status 137 (SIGKILL)"),
        ({"command": ("exit", "137", "oom")}, "used more memory than its limit"),
        ({"command": ("nothing",)}, "executable file not found"),
        ({"image": IMAGE.replace("web@", "missing@")}, "cannot be pulled: not found"),
        ({"confinement": Confinement(non_root=True)}, "must not run as root"),
        ({"folders": (Folder("x", "/x", "claim", "lost"),)}, "the volume 'lost' is claimed"),
        ({"folders": (Folder("x", "/x", "secret", "lost"),)}, "lost is not there"),
    ],
)
def test_why_an_instance_does_not_run(runtime: DockerRuntime, changes: dict[str, Any], words: str) -> None:
    workload = Workload("shop", "job", (replace(SERVE, **changes),))
    assert words in reach(runtime, workload, Phase.FAILED).reason


def test_a_missing_secret_starts_nothing(
    runtime: DockerRuntime, engine: Containers, workload: Workload
) -> None:
    env = (("PASSWORD", SecretKey("secret", "database", "lost")),)
    with pytest.raises(UsageError, match="secret database/lost is not there"):
        runtime.start(replace(workload, containers=(replace(workload.containers[0], env=env),)))
    assert runtime.observe() == []
    assert engine.held == {}


def test_the_next_engine_finds_what_is_ready_and_removes_what_was_only_begun(
    open_runtime: OpenRuntime, engine: Containers, workload: Workload
) -> None:
    first = open_runtime()
    kept = reach(first, workload, Phase.READY)
    half = reach(first, workload, Phase.READY)
    first.close()
    engine.held[f"shop.{half.id}.web"].status = "created"
    second = open_runtime()
    seen = {one.id: one for one in second.observe()}
    assert (seen[kept.id].phase, seen[kept.id].addresses) == (Phase.READY, kept.addresses)
    assert seen[kept.id].template == workload.template
    assert seen[half.id].phase is Phase.STOPPING
    observe_until(second, lambda seen: [one.id for one in seen] == [kept.id])
    assert list(engine.held) == [f"shop.{kept.id}.web"]


def test_an_engine_that_does_not_answer_is_told_until_it_does(
    runtime: DockerRuntime, engine: Containers, workload: Workload
) -> None:
    instance = reach(runtime, workload, Phase.READY)

    def lost() -> bool:
        try:
            runtime.observe()
        except Unreachable:
            return True
        return False

    engine.gone = True
    engine._tell()
    _wait(lost)
    engine.gone = False
    _wait(lambda: not lost())
    assert [one.id for one in runtime.observe()] == [instance.id]


def test_only_what_was_fetched_here_is_removed(
    runtime: DockerRuntime, engine: Containers, workload: Workload
) -> None:
    engine.images.add("registry.example.com/mine@sha256:" + "3" * 64)
    instance = reach(runtime, workload, Phase.READY)
    runtime.prepare(replace(workload, containers=(Container("web", OTHER),)))
    assert runtime.collect([OTHER])
    assert {IMAGE, OTHER} <= engine.images
    runtime.stop(instance.id)
    observe_until(runtime, lambda seen: not seen)
    assert runtime.collect([OTHER])
    assert engine.images == {OTHER, "registry.example.com/mine@sha256:" + "3" * 64}
    assert engine.made == {}, "an application's network ends with it"


def _wait(reached: Callable[[], bool]) -> None:
    import time

    end = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)
