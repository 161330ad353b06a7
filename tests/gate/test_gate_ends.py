"""A gate may end at any moment: no thread of it goes on, no connection stays open, whatever ended it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from http_script import Script, scripted

from pipegraft.core.errors import PipegraftError
from pipegraft.gate.adapters.argocd import ArgoCd, ClusterApplications
from pipegraft.gate.adapters.argocd_server import ServerApplications
from pipegraft.gate.model import ArgoCdOptions
from pipegraft.gate.ports import EngineRequest
from pipegraft.kubernetes.adapters.cluster import Cluster
from pipegraft.kubernetes.model import ClusterOptions

URL = "https://git.example.com/iac/shop.git"
APP = {
    "metadata": {"name": "shop", "namespace": "argocd", "resourceVersion": "7"},
    "spec": {"source": {"repoURL": URL}, "destination": {}},
    "status": {"sync": {"status": "OutOfSync", "revision": "1" * 40}, "health": {"status": "Progressing"}},
}
IN_CLUSTER = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications"
ROUNDS, AT_ONCE = 200, 4

Start = Callable[[], tuple[ArgoCd, Callable[[], None]]]
"""Opens a gate; answers it and what closes it."""


def silent(script: Script) -> Iterator[Any]:
    script.ended.wait(20)
    yield from ()


def listed(script: Script, query: dict[str, str]) -> Any:
    if query.get("watch"):
        return silent(script)
    return {"metadata": {"resourceVersion": "7"}, "items": [APP]}


ANSWERS = {
    IN_CLUSTER: listed,
    f"{IN_CLUSTER}/shop": lambda _script, _query: APP,
    "/api/v1/applications/shop": lambda _script, _query: APP,
    "/api/v1/applications/shop/syncwindows": lambda _script, _query: {},
    "/api/v1/stream/applications": lambda script, _query: silent(script),
}


@pytest.fixture
def script() -> Iterator[Script]:
    with scripted(dict(ANSWERS)) as found:
        yield found


@pytest.fixture(params=["kubernetes", "server"])
def start(request: pytest.FixtureRequest, script: Script, tmp_path: Path) -> Start:
    config = {
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": script.url}}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    options = ArgoCdOptions.model_validate({"application": "shop", "server": script.url})

    def opened() -> tuple[ArgoCd, Callable[[], None]]:
        if request.param == "server":
            server = ServerApplications(options, None, "hush")
            return ArgoCd(options, EngineRequest(tmp_path, URL), server), server.close
        cluster = Cluster(ClusterOptions(kubeconfig=str(tmp_path / "config")), tmp_path)
        return ArgoCd(options, EngineRequest(tmp_path, URL), ClusterApplications(cluster)), cluster.close

    return opened


def ours() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if one.name.startswith(("watch ", "argocd "))}


def connections() -> int:
    """Sockets that this process holds, the scripted server's among them."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found += str(descriptor.readlink()).startswith("socket:")
        except OSError:  # closed meanwhile
            continue
    return found


def use(start: Start, step: int) -> None:
    """A gate that is closed before, between or after the steps of a look."""
    gate, close = start()
    try:
        for what in (gate.request_sync, gate.observe, lambda: gate.wait(0.001))[: step % 4]:
            what()
    finally:
        close()


def test_two_hundred_gates_that_end_leave_nothing_behind(start: Start) -> None:
    use(start, 3)  # what is opened once for the process
    with ThreadPoolExecutor(AT_ONCE) as workers:
        for done in [workers.submit(use, start, step) for step in range(ROUNDS)]:
            done.result()
    assert ours() == set()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells which sockets are open")
@pytest.mark.parametrize("answer", [None, (500, {"kind": "Status", "code": 500}), b"<html>", (403, {})])
def test_every_connection_is_closed_on_every_way_out(start: Start, script: Script, answer: Any) -> None:
    if answer is not None:
        script.answers |= dict.fromkeys(ANSWERS, lambda _script, _query: answer)
    before = connections()
    gate, close = start()
    for _ in range(2):
        try:
            gate.observe()
            gate.request_sync()
            gate.explain()
        except PipegraftError:
            assert answer is not None
    close()
    script.ended.set()  # its own ends of the streams
    for _ in range(500):
        if connections() <= before:
            break
        threading.Event().wait(0.01)
    assert connections() <= before
    assert ours() == set()
