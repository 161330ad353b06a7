"""Starts the engine on real systems: one state folder, one engine, one proxy."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from pipegraft.appspec.hooks import load_providers
from pipegraft.appspec.resource_binding import Platform
from pipegraft.appspec.runtime_support import DOCKER, PROCESS, Support
from pipegraft.core.adapters.files import write_atomically
from pipegraft.core.adapters.http import Http
from pipegraft.core.adapters.waiting import Patience, SystemClock
from pipegraft.core.errors import Locked, Unreachable, UsageError
from pipegraft.core.plugins import Plugins
from pipegraft.engine.adapters.docker_api import DockerApi
from pipegraft.engine.adapters.docker_runtime import DockerRuntime
from pipegraft.engine.adapters.machine_resources import MachineResources
from pipegraft.engine.adapters.probing import free_port
from pipegraft.engine.adapters.process_runtime import ProcessRuntime
from pipegraft.engine.adapters.proxy import EmbeddedRouter
from pipegraft.engine.adapters.server import StatusServer
from pipegraft.engine.adapters.supplies import DockerImages, SecretFolder, UnpackedImages
from pipegraft.engine.ports import WorkloadRuntime
from pipegraft.engine.usecases.application import (
    EngineApplication,
    Operator,
    Place,
    Source,
    States,
    source_name,
)
from pipegraft.engine.usecases.cluster import ClusterObjects, ClusterOperator
from pipegraft.engine.usecases.instances import Entrances, Fetcher, InstanceOperator
from pipegraft.engine.usecases.loop import Engine, needing_disk
from pipegraft.iac.adapters.git import open_branch
from pipegraft.images.adapters.registry import open_registry
from pipegraft.images.ports import Registry
from pipegraft.kubernetes.adapters.cluster import Cluster
from pipegraft.kubernetes.model import ClusterOptions

__all__ = ["OUTPUTS", "EngineSetup", "Runtime", "open_runtime", "run_engine"]

OUTPUTS = "outputs"
"""Folder of what resources of this machine tell, below the state folder."""

_RECORD = "engine.json"


@contextlib.contextmanager
def open_runtime(name: str, state: Path, secrets: Path | None) -> Iterator[tuple[WorkloadRuntime, Support]]:
    """Open ``process`` or ``docker``.

    Arguments:
        state: the engine's folder.
        secrets: folder of ``NAME/KEY`` files.
    """
    images = UnpackedImages(state / "images", _open_registry)
    if name == "process":
        yield (
            ProcessRuntime(state / "instances", images, secret_folder=secrets, output_folder=state / OUTPUTS),
            PROCESS,
        )
        return
    owner = hashlib.sha256(os.fsencode(state)).hexdigest()[:12]
    with contextlib.closing(DockerApi()) as api:
        shelf = DockerImages(state / "docker-images.json", api, _open_registry)
        runtime = DockerRuntime(owner, api, shelf, images, secrets=SecretFolder(secrets))
        with contextlib.closing(runtime):
            yield runtime, DOCKER


def _open_registry(address: str) -> Registry:
    return open_registry(address, Path.cwd())


Runtime = Literal["process", "docker", "kubernetes"]


@dataclass(frozen=True, slots=True)
class EngineSetup:
    """What one engine process is given.

    Arguments:
        applications: what to apply.
        base: folder that paths of repositories count from.
        state: folder that everything the engine knows is kept in; made if absent.
        poll: seconds between two looks at a repository.
        listen: host and port of the status server; port 0 takes the last one again, or a free one.
        secrets: folder of ``NAME/KEY`` files.
        webhook_secret: that senders of webhooks must know; empty to listen to none.
        keep_workloads: leave workloads and proxy running when the engine is told to end.
        until_stdin_closes: end when standard input does, as whoever started the engine has ended then.
    """

    applications: tuple[EngineApplication, ...]
    base: Path
    state: Path
    runtime: Runtime = "process"
    poll: float = 1.0
    listen: tuple[str, int] = ("127.0.0.1", 0)
    secrets: Path | None = None
    webhook_secret: str = field(default="", repr=False)
    keep_workloads: bool = False
    until_stdin_closes: bool = False


def run_engine(setup: EngineSetup, plugins: Plugins, report: Callable[[str], None]) -> None:
    """Work until SIGTERM or SIGINT.

    Arguments:
        plugins: with the resource providers.
        report: takes one line for people on everything that changes.

    Raises:
        Locked: another engine uses this state folder.
        Unreachable: the status server cannot listen, or a repository on this machine does not exist.
        UsageError: the same environment is named twice.
    """
    with (
        contextlib.ExitStack() as held,
        _alone(setup.state),
        _work(setup, plugins, report) as work,
    ):
        with needing_disk(setup.state):
            states = States(setup.state / "applications")
        opened = held.enter_context(_sources(setup))
        engine = Engine(opened, work.operator, states, poll=setup.poll, report=report)
        with _ended_by_signals(engine.stop), _server(setup, engine, work.proxied) as server:
            report(f"listening on {server.url}")
            if setup.until_stdin_closes:
                threading.Thread(target=_stop_with_stdin, args=(engine.stop,), daemon=True).start()
            engine.run()
        if not setup.keep_workloads:
            report("ending the workloads")
            work.end()


@dataclass(frozen=True, slots=True)
class _Work:
    """What brings applications about, whole."""

    operator: Operator
    proxied: Callable[[str], str]
    end: Callable[[], None]


@contextmanager
def _work(setup: EngineSetup, plugins: Plugins, report: Callable[[str], None]) -> Iterator[_Work]:
    helpers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="engine")
    try:
        if setup.runtime == "kubernetes":
            with _cluster(plugins, helpers, report) as operator:
                yield _Work(operator, lambda _page: "", operator.end)
        else:
            with open_runtime(setup.runtime, setup.state, setup.secrets) as (runtime, support):
                router = EmbeddedRouter(setup.state / "proxy")
                instances = InstanceOperator(
                    runtime=runtime,
                    support=support,
                    router=router,
                    clock=SystemClock(),
                    entrances=Entrances(setup.state / "entrances.json", free_port),
                    fetcher=Fetcher(runtime.prepare, helpers.submit),
                    resources=MachineResources(setup.state / "resources", setup.state / OUTPUTS),
                    platform=Platform(lambda: load_providers(plugins), "oam"),
                    report=report,
                )

                def end() -> None:
                    router.stop()
                    instances.end()

                yield _Work(instances, lambda page: _fetch(f"{router.admin_url}{page}"), end)
    finally:
        helpers.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _cluster(
    plugins: Plugins, helpers: ThreadPoolExecutor, report: Callable[[str], None]
) -> Iterator[ClusterOperator]:
    def connect(application: str, namespace: str) -> ClusterObjects:
        return ClusterObjects(cluster, application, namespace, operator.changed)

    with closing(Cluster(ClusterOptions(), Path.cwd())) as cluster:
        operator = ClusterOperator(
            connect,
            helpers.submit,
            Platform(lambda: load_providers(plugins), "kubernetes"),
            report=report,
        )
        yield operator


def _stop_with_stdin(stop: Callable[[], None]) -> None:
    while os.read(0, 4096):
        pass
    stop()


@contextmanager
def _sources(setup: EngineSetup) -> Iterator[list[Source]]:
    """Every branch once, however many applications are in it; closed at the end."""
    places: dict[tuple[str, str], list[Place]] = {}
    for one in setup.applications:
        named = source_name(one.repository, one.branch)
        found = places.setdefault((one.repository, one.branch), [])
        found += [Place(named, one.path.strip("/"), environment) for environment in one.environments]
    for place, count in Counter(place for found in places.values() for place in found).items():
        if count > 1:
            raise UsageError(f"{place} is named {count} times", fix="name it once")
    with contextlib.ExitStack() as held:
        yield [
            Source(
                url, branch, held.enter_context(closing(open_branch(url, branch, setup.base))), tuple(found)
            )
            for (url, branch), found in places.items()
        ]


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Hold the state folder; the kernel lets go of it when the process ends, however it ends."""
    with needing_disk(state):
        state.mkdir(parents=True, exist_ok=True)
    process = state / "engine.pid"
    with contextlib.ExitStack() as held:
        try:
            with needing_disk(state):
                held.enter_context(FileLock(state / "engine.lock", blocking=False))
        except Timeout:
            named = process.read_text("ascii") if process.exists() else ""
            raise Locked(
                f"another engine (process {named or 'unknown'}) uses {state}",
                fix="end it, or give this one another --state",
            ) from None
        with needing_disk(state):
            process.write_text(str(os.getpid()), "ascii")
        yield


@contextmanager
def _server(setup: EngineSetup, engine: Engine, proxied: Callable[[str], str]) -> Iterator[StatusServer]:
    """Serve the status, at the same address as last time where that is free, and say where."""
    record = setup.state / _RECORD
    server = _listen(setup, record, engine, proxied)
    with server:
        content = {"url": server.url, "process": os.getpid()}
        with needing_disk(setup.state):
            write_atomically(record, json.dumps(content).encode())
        yield server


def _listen(setup: EngineSetup, record: Path, engine: Engine, proxied: Callable[[str], str]) -> StatusServer:
    host, port = setup.listen

    def serve(at: int) -> StatusServer:
        return StatusServer(host, at, engine, proxied, setup.webhook_secret)

    if port == 0 and record.exists():
        last = int(json.loads(record.read_bytes())["url"].rpartition(":")[2])
        try:
            return serve(last)
        except Unreachable:
            pass  # somebody else took it meanwhile
    return serve(port)


@contextmanager
def _ended_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: stop()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _fetch(url: str) -> str:
    with Http("the proxy", patience=Patience(attempts=1, silence=5), proxies=False) as http:
        return http.ask("GET", url, what=f"asking {url}").text
