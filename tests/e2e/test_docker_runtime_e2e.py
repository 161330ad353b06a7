"""The docker runtime with a real Docker engine."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness import need, run
from image_servers import running_engine, running_registry

from pipegraft.core.errors import OutsideError
from pipegraft.engine.adapters.docker_api import DockerApi
from pipegraft.engine.adapters.docker_runtime import DockerRuntime
from pipegraft.engine.adapters.supplies import DockerImages, SecretFolder, UnpackedImages
from pipegraft.engine.ports import Container, HealthProbe, Instance, Mount, Phase, SecretKey, Workload
from pipegraft.images.adapters.layer import LayerBuilder
from pipegraft.images.adapters.registry import LayoutRegistry, open_registry
from pipegraft.images.adapters.registry.http import HttpRegistry
from pipegraft.images.build_context import read_context
from pipegraft.images.hooks import BuildRequest
from pipegraft.images.ports import Registry
from pipegraft.testing.engine_suite import RuntimeSuite, observe_until

pytestmark = pytest.mark.e2e
QUICK = HealthProbe(8080, "/index.html", period=0.1, failures=2)
SERVE = "mkdir -p /www && env > /www/index.html && exec httpd -f -p 8080 -h /www"


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    with running_engine() as address:
        yield address


@pytest.fixture(autouse=True)
def host(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of an image with a shell and a web server."""
    need("busybox")
    folder = tmp_path_factory.mktemp("box")
    (folder / "bin").mkdir()
    (folder / "bin/busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (folder / "bin/busybox").chmod(0o755)
    for name in ("sh", "httpd", "env", "mkdir", "sleep", "cat", "cp", "wget", "trap", "head", "tr"):
        (folder / "bin" / name).symlink_to("busybox")
    return folder


def build(name: str, context: Path, registry: Registry) -> str:
    request = BuildRequest(name, context, read_context(context).entries, name, ("v1",), "/", ("/bin/sh",))
    return LayerBuilder().build(request, registry, lambda _line: None).digest


@pytest.fixture(scope="module")
def image(box: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("registry")
    return f"oci:{folder}/web@{build('web', box, LayoutRegistry(folder))}"


OpenRuntime = Callable[[], DockerRuntime]


@pytest.fixture
def open_runtime(tmp_path: Path, host: None) -> Iterator[OpenRuntime]:
    """Opens the runtime anew, as the next engine does; in the end everything it runs is ended."""
    (tmp_path / "secrets/database").mkdir(parents=True)
    (tmp_path / "secrets/database/password").write_text("hunter2\n")
    opened: list[DockerRuntime] = []
    with ExitStack() as stack:

        def open_anew() -> DockerRuntime:
            api = DockerApi({"HOME": str(tmp_path)})
            stack.callback(api.close)
            runtime = DockerRuntime(
                f"test{abs(hash(tmp_path)):x}"[:12],
                api,
                DockerImages(tmp_path / "images.json", api, lambda at: open_registry(at, tmp_path)),
                UnpackedImages(tmp_path / "unpacked", lambda at: open_registry(at, tmp_path)),
                secrets=SecretFolder(tmp_path / "secrets"),
                drain=0.05,
            )
            opened.append(runtime)
            return runtime

        yield open_anew
        for runtime in opened:
            runtime.close()
        last = open_anew()
        for instance in last.observe():
            last.stop(instance.id)
        observe_until(last, lambda seen: not seen)
        last.collect(())
        last.close()
        left = run("docker", "network", "ls", "--filter", "label=dev.pipegraft.engine", "--quiet")
        assert left == ""


@pytest.fixture
def runtime(open_runtime: OpenRuntime) -> DockerRuntime:
    return open_runtime()


@pytest.fixture
def workload(image: str) -> Workload:
    return serving(image)


@pytest.fixture
def crashing(image: str) -> Workload:
    return Workload("shop", "job", (shell(image, "echo starting; echo boom >&2; exit 3"),), grace=0.3)


def shell(image: str, script: str, name: str = "main", **changes: Any) -> Container:
    return replace(Container(name, image, ("sh", "-c"), (script,)), **changes)


def serving(image: str, **changes: Any) -> Workload:
    web = shell(image, SERVE, "web", env=(("PIPEGRAFT_PORT_WEB", "8080"),), readiness=QUICK)
    return replace(Workload("shop", "web", (web,), ports=(8080,), grace=0.3), **changes)


def ready(runtime: DockerRuntime, workload: Workload) -> Instance:
    name = runtime.start(workload)
    seen = observe_until(runtime, lambda seen: {one.id: one.phase for one in seen}[name] is Phase.READY)
    return next(one for one in seen if one.id == name)


def failed(runtime: DockerRuntime, workload: Workload) -> Instance:
    name = runtime.start(workload)
    seen = observe_until(runtime, lambda seen: {one.id: one.phase for one in seen}[name] is Phase.FAILED)
    return next(one for one in seen if one.id == name)


def ask(instance: Instance, path: str = "/index.html") -> str:
    with urllib.request.urlopen(f"http://{instance.addresses[8080]}{path}", timeout=60) as answer:
        return str(answer.read().decode())


class TestDockerRuntime(RuntimeSuite):
    """The contract, kept by real containers."""


def test_variables_and_secrets_arrive(runtime: DockerRuntime, image: str) -> None:
    env = (("A", "b"), ("PASSWORD", SecretKey("secret", "database", "password")))
    web = replace(serving(image).containers[0], env=env)
    said = ask(ready(runtime, serving(image, containers=(web,)))).splitlines()
    assert {"A=b", "PASSWORD=hunter2"} <= set(said)


def test_containers_of_an_instance_share_localhost_and_a_component_is_mounted(
    runtime: DockerRuntime, image: str, box: Path, tmp_path: Path
) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "rules.txt").write_text("no discounts\n")
    registry = LayoutRegistry(tmp_path / "registry")
    mounted = f"oci:{tmp_path}/registry/rules@{build('rules', rules, registry)}"
    script = "mkdir /www; cp /opt/rules/rules.txt /www/index.html; exec httpd -f -p 8080 -h /www"
    web = shell(image, script, "web", readiness=QUICK)
    fetch = "wget -q -O /www/index.html http://127.0.0.1:8080/index.html"
    script = f"mkdir /www; until {fetch}; do sleep 0.1; done; exec httpd -f -p 9090 -h /www"
    guard = shell(image, script, "guard", readiness=HealthProbe(9090, "/index.html", period=0.1))
    filler = shell(image, "echo filled > /opt/data/file", "data")
    mounts = (Mount("rules", mounted, "/opt/rules"), Mount("data", image, "/opt/data", filler))
    both = Workload("shop", "web", (web, guard), mounts, (8080, 9090), grace=0.3)
    instance = ready(runtime, both)
    with urllib.request.urlopen(f"http://{instance.addresses[9090]}/index.html", timeout=60) as answer:
        assert answer.read() == b"no discounts\n"
    name = f"shop.{instance.id}.web"
    assert run("docker", "exec", name, "cat", "/opt/data/file") == "filled\n"
    assert json.loads(run("docker", "inspect", name))[0]["Mounts"][0]["RW"] is False
    runtime.stop(instance.id)
    observe_until(runtime, lambda seen: not seen)
    assert run("docker", "volume", "ls", "--quiet") == ""


def test_workloads_of_an_application_find_one_another_by_name(runtime: DockerRuntime, image: str) -> None:
    ready(runtime, serving(image))
    script = f"wget -q -O /dev/null http://web:8080/index.html && {SERVE}"
    client = shell(image, script, readiness=QUICK)
    assert ready(runtime, Workload("shop", "client", (client,), ports=(8080,), grace=0.3))


def test_limits_are_set_and_running_out_of_memory_is_named(runtime: DockerRuntime, image: str) -> None:
    greedy = shell(image, "x=$(tr '\\0' x < /dev/zero | head -c 200000000)", cpu=0.5, memory=16 << 20)
    instance = failed(runtime, Workload("shop", "greedy", (greedy,)))
    host = json.loads(run("docker", "inspect", f"shop.{instance.id}.main"))[0]["HostConfig"]
    assert (host["NanoCpus"], host["Memory"]) == (500_000_000, 16 << 20)
    assert "memory" in instance.reason or "SIGKILL" in instance.reason or "exit status" in instance.reason


def test_a_crash_is_told_with_exit_status_and_log(runtime: DockerRuntime, crashing: Workload) -> None:
    instance = failed(runtime, crashing)
    assert instance.reason == f"main of {instance.id} ended with exit status 3"
    assert set(instance.evidence) == {"starting", "boom"}


def test_what_cannot_start_is_told(runtime: DockerRuntime, image: str) -> None:
    nothing = Container("main", image, ("/bin/nothing",))
    assert "/bin/nothing" in failed(runtime, Workload("shop", "bad", (nothing,))).reason
    filler = shell(image, "echo no room; exit 4", "data")
    mounts = (Mount("data", image, "/opt/data", filler),)
    reason = failed(runtime, serving(image, mounts=mounts)).reason
    assert "exit status 4" in reason
    assert "no room" in reason


def test_a_container_removed_by_somebody_has_failed(runtime: DockerRuntime, workload: Workload) -> None:
    instance = ready(runtime, workload)
    run("docker", "rm", "--force", f"shop.{instance.id}.web")
    seen = observe_until(runtime, lambda seen: seen[0].phase is Phase.FAILED)
    assert "removed by somebody else" in seen[0].reason


def test_a_stop_is_a_signal_then_a_kill(runtime: DockerRuntime, image: str) -> None:
    stubborn = shell(image, f"trap '' TERM; {SERVE.replace('exec ', '')}", "web", readiness=QUICK)
    instance = ready(runtime, serving(image, containers=(stubborn,)))
    runtime.stop(instance.id)
    assert observe_until(runtime, lambda seen: True)[0].phase is Phase.STOPPING
    observe_until(runtime, lambda seen: not seen)
    assert run("docker", "ps", "--all", "--quiet") == ""


def test_the_next_engine_finds_everything_by_its_labels(
    open_runtime: OpenRuntime, workload: Workload, tmp_path: Path
) -> None:
    first = open_runtime()
    before = ready(first, workload)
    second = open_runtime()
    (after,) = second.observe()
    assert (after.id, after.phase, after.template) == (before.id, Phase.READY, workload.template)
    assert after.addresses == before.addresses
    assert ask(after)


def test_what_an_engine_had_only_begun_is_taken_away_by_the_next(
    open_runtime: OpenRuntime, workload: Workload, image: str
) -> None:
    first = open_runtime()
    two = replace(workload, containers=(*workload.containers, shell(image, "sleep 100", "other")))
    instance = ready(first, two)
    run("docker", "rm", "--force", f"shop.{instance.id}.other")  # as if it had never been created
    second = open_runtime()
    assert second.observe()[0].phase is Phase.STOPPING
    observe_until(second, lambda seen: not seen)


def test_images_are_pulled_by_digest_and_removed_when_old(
    runtime: DockerRuntime, box: Path, tmp_path: Path
) -> None:
    with running_registry(tmp_path / "server") as server:
        registry = HttpRegistry(server.endpoint)
        references = []
        for version in ("v1", "v2"):
            (box / "version").write_text(version)
            references.append(f"{server.name}/shop/web@{build('shop/web', box, registry)}")
        old, new = (serving(reference) for reference in references)
        first = ready(runtime, old)
        ready(runtime, new)
        digests = lambda: set(run("docker", "images", "--digests", "--format", "{{.Digest}}").split())  # noqa: E731
        assert {one.rpartition("@")[2] for one in references} <= digests()
        assert runtime.collect([references[1]])
        assert references[0].rpartition("@")[2] in digests(), "an instance still needs it"
        runtime.stop(first.id)
        observe_until(runtime, lambda seen: len(seen) == 1)
        assert runtime.collect([references[1]])
        assert references[0].rpartition("@")[2] not in digests()
        assert references[1].rpartition("@")[2] in digests()
        missing = serving(references[0].rpartition("@")[0] + "@sha256:" + "0" * 64)
        assert "cannot be pulled" in failed(runtime, missing).reason


def test_an_engine_without_addresses_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_engine("base=10.214.0.0/24,size=24") as address:  # enough for one network
        monkeypatch.setenv("DOCKER_HOST", address)
        api = DockerApi({})
        try:
            api.make_network("first", {})
            api.make_network("first", {})
            with pytest.raises(OutsideError, match="no addresses left for one more network") as caught:
                api.make_network("second", {})
        finally:
            api.close()
    assert "docker network prune" in str(caught.value)
    assert "/etc/docker/daemon.json" in str(caught.value)
