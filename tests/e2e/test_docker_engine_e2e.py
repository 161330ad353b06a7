"""`pipegraft engine --runtime docker` as a user runs it: git, a registry, a Docker engine, kill -9."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from harness import need, run, wait_until
from image_servers import RunningRegistry, running_engine, running_registry

from pipegraft.images.adapters.layer import LayerBuilder
from pipegraft.images.adapters.registry.http import HttpRegistry
from pipegraft.images.build_context import read_context
from pipegraft.images.hooks import BuildRequest

pytestmark = pytest.mark.e2e

APP = """\
app: shop
components:
  web:
    ports: {http: 8080}
    readiness: {path: /index.html, period: 1s}
    entrance: {}
    replicas: 2
    grace: 1s
    cpu: 250m
    memory: 64Mi
"""
SERVE = "mkdir -p /www && cp /version /www/index.html && exec httpd -f -p 8080 -h /www"
IDENTITY = {
    **{f"GIT_{who}_NAME": "Team" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "team@example.com" for who in ("AUTHOR", "COMMITTER")},
    "GIT_CONFIG_GLOBAL": os.devnull,
}


class World:
    """A repository, a registry, a Docker engine and an engine that a test kills."""

    def __init__(self, root: Path, registry: RunningRegistry) -> None:
        need("busybox")
        self.root, self.state, self.draft = root, root / "state", root / "draft"
        self.engines: list[subprocess.Popen[bytes]] = []
        (self.draft / "environments").mkdir(parents=True)
        (self.draft / "app.yaml").write_text(APP)
        self.git("init", "-q", "-b", "main")
        self.images = {
            version: self.build(registry, version, script)
            for version, script in (("v1", SERVE), ("v2", SERVE), ("crashing", "echo out of tea; exit 7"))
        }
        missing = "sha256:" + "0" * 64
        self.images["missing"] = f"{self.images['v1'].partition('@')[0]}@{missing}"
        self.release("v1")

    def git(self, *words: str) -> str:
        return run("git", "-C", self.draft, *words, **IDENTITY).strip()

    def build(self, registry: RunningRegistry, version: str, script: str) -> str:
        context = self.root / version
        (context / "bin").mkdir(parents=True)
        (context / "bin/busybox").write_bytes(Path("/bin/busybox").read_bytes())
        (context / "bin/busybox").chmod(0o755)
        for name in ("sh", "httpd", "mkdir", "cp"):
            (context / "bin" / name).symlink_to("busybox")
        (context / "version").write_text(version)
        entries = read_context(context).entries
        command = ("/bin/sh", "-c", script)
        request = BuildRequest("web", context, entries, "shop/web", (version,), "/", command)
        digest = LayerBuilder().build(request, HttpRegistry(registry.endpoint), lambda _line: None).digest
        return f"{registry.name}/shop/web@{digest}"

    def release(self, version: str, more: str = "") -> str:
        text = f'components:\n  web: {{image: "{self.images[version]}"}}\n{more}'
        (self.draft / "environments/production.yaml").write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", version)
        return self.git("rev-parse", "HEAD")

    def start(self) -> subprocess.Popen[bytes]:
        (self.state / "engine.json").unlink(missing_ok=True)
        words = ["engine", "--repository", str(self.draft), "--env", "production", "--state", str(self.state)]
        command = [sys.executable, "-m", "pipegraft", *words, "--poll", "200ms", "--runtime", "docker"]
        with (self.root / "engine.log").open("ab") as log:
            engine = subprocess.Popen(command, stdout=log, stderr=log)
        self.engines.append(engine)
        wait_until(lambda: (self.state / "engine.json").exists() or engine.poll() is not None, "the engine")
        assert engine.poll() is None, (self.root / "engine.log").read_text()
        return engine

    def kill(self) -> None:
        self.engines[-1].kill()
        self.engines[-1].wait()

    def status(self) -> dict[str, Any]:
        url = json.loads((self.state / "engine.json").read_text())["url"]
        try:
            with urllib.request.urlopen(f"{url}/applications/shop-production", timeout=60) as answer:
                return dict(json.loads(answer.read()))
        except (urllib.error.HTTPError, OSError):
            return {"revision": {}, "health": "", "sync": "", "message": "", "resources": []}

    def live(self, revision: str) -> dict[str, Any]:
        def reached() -> bool:
            status = self.status()
            return status["revision"].get("live") == revision and status["health"] == "healthy"

        wait_until(reached, f"{revision} to be live; the engine says {self.status()}")
        return self.status()

    def ask(self) -> str:
        try:
            with urllib.request.urlopen(self.entrance, timeout=60) as answer:
                return str(answer.read().decode())
        except OSError as error:
            return repr(error)

    @property
    def entrance(self) -> str:
        ports = json.loads((self.state / "entrances.json").read_text())
        return f"http://127.0.0.1:{ports['shop-production/web']}/index.html"

    def containers(self, *more: str) -> list[str]:
        return sorted(run("docker", "ps", "--no-trunc", "--format", "{{.Names}}", *more).split())


@pytest.fixture(scope="module")
def docker() -> Iterator[str]:
    with running_engine() as address:
        yield address


@pytest.fixture
def world(tmp_path: Path, docker: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("DOCKER_HOST", docker)
    with running_registry(tmp_path / "registry") as registry:
        world = World(tmp_path, registry)
        yield world
        for engine in world.engines:
            engine.kill()
            engine.wait()
        last = world.start()
        last.terminate()
        assert last.wait(60) == 0, (world.root / "engine.log").read_text()
    assert world.containers("--all") == []


class Visitors:
    """Requests one after another while the context is open."""

    def __init__(self, world: World) -> None:
        self.answers: Counter[str] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(world,))

    def _run(self, world: World) -> None:
        while not self._stop.is_set():
            self.answers[world.ask()] += 1
            self._stop.wait(0.02)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_updates_lose_no_request_whenever_the_engine_is_killed(world: World) -> None:
    world.start()
    status = world.live(world.git("rev-parse", "HEAD"))
    assert status["notes"] == []
    before = world.containers()
    assert len(before) == 2
    with Visitors(world) as visitors:
        world.kill()
        again = world.release("v1", "# nobody looks\n")
        world.start()
        world.live(again)
        assert world.containers() == before, "the next engine found them by their labels"
        target = world.release("v2")
        wait_until(lambda: len(world.containers("--all")) > 2, "an update to begin")
        world.kill()
        world.start()
        world.live(target)
    assert set(visitors.answers) == {"v1", "v2"}
    assert world.ask() == "v2"
    wait_until(lambda: len(world.containers("--all")) == 2, "old containers to end")
    wait_until(
        lambda: world.images["v1"].partition("@")[2] not in run("docker", "images", "--digests"),
        "the old image to be removed",
    )


def test_a_crash_loop_and_a_missing_image_are_told_while_the_old_version_serves(world: World) -> None:
    world.start()
    world.live(world.git("rev-parse", "HEAD"))
    serving = world.containers()
    for version, words in (("crashing", "ended with exit status 7"), ("missing", "cannot be pulled")):
        world.release(version)
        told = f"failed 3 times in a row: .*{words}"
        wait_until(lambda: re.search(told, world.status()["message"]) is not None, f"{version} to be told")  # noqa: B023 - waited for here
        status = world.status()
        assert status["health"] == "degraded"
        assert version == "missing" or status["resources"][0]["evidence"] == ["out of tea"]
        assert world.ask() == "v1"
        assert set(serving) <= set(world.containers())
    world.live(world.release("v1"))


def test_a_container_that_dies_is_replaced_and_the_spec_that_is_refused_is_not(world: World) -> None:
    world.start()
    world.live(world.git("rev-parse", "HEAD"))
    victim = world.containers()[0]
    run("docker", "kill", victim)
    wait_until(lambda: len(world.containers()) == 2 and victim not in world.containers(), "a new container")
    kept = world.containers()
    (world.draft / "environments/production.yaml").write_text("components: {web: {job: {}}}\n")
    world.git("commit", "-q", "-a", "-m", "a job")
    wait_until(lambda: world.status()["sync"] == "refused", "the spec to be refused")
    assert "job" in str(world.status()["problems"])
    assert world.containers() == kept
    assert world.ask() == "v1"
