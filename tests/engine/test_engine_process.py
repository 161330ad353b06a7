"""The engine as a user runs it: real git, images, processes and proxy, and kill -9 of each of them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest

from pipegraft.engine.adapters.supervision import strays
from pipegraft.images.adapters.layer import LayerBuilder
from pipegraft.images.adapters.registry import LayoutRegistry
from pipegraft.images.build_context import read_context
from pipegraft.images.hooks import BuildRequest

SERVER = """\
import http.server, json, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = json.dumps({"version": VERSION, "pid": os.getpid()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PIPEGRAFT_PORT_WEB"])), Handler).serve_forever()
"""
APP = "app: shop\ncomponents:\n  web: {ports: {http: 8080}, readiness: {path: /}, entrance: {}}\n"
GIT = {
    "GIT_AUTHOR_NAME": "Team",
    "GIT_AUTHOR_EMAIL": "team@example.com",
    "GIT_COMMITTER_NAME": "Team",
    "GIT_COMMITTER_EMAIL": "team@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


class World:
    """A repository, a registry and an engine on this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "state"
        self.draft = root / "draft"
        self.engines: list[subprocess.Popen[bytes]] = []
        (self.draft / "environments").mkdir(parents=True)
        (self.draft / "app.yaml").write_text(APP)
        self.git("init", "-q", "-b", "main")
        self.images = {version: self.build(version) for version in ("v1", "v2")}
        self.release("v1")

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *words],
            cwd=self.draft,
            env={**os.environ, **GIT},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def build(self, version: str) -> str:
        context = self.root / version
        context.mkdir()
        (context / "server.py").write_text(f"VERSION = {version!r}\n{SERVER}")
        folder = self.root / "registry"
        request = BuildRequest(
            "web",
            context,
            read_context(context).entries,
            "web",
            (version,),
            target="/app",
            command=(sys.executable, "-S", "/app/server.py"),
        )
        digest = LayerBuilder().build(request, LayoutRegistry(folder), lambda _line: None).digest
        return f"oci:{folder}/web@{digest}"

    def release(self, version: str, more: str = "") -> str:
        text = f'components:\n  web: {{image: "{self.images[version]}"}}\n{more}'
        (self.draft / "environments" / "production.yaml").write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", version)
        return self.git("rev-parse", "HEAD")

    def command(self, *more: str) -> list[str]:
        words = ["engine", "--repository", str(self.draft), "--env", "production", "--state", str(self.state)]
        return [sys.executable, "-m", "pipegraft", *words, "--poll", "100ms", *more]

    def start(self, *more: str, **variables: str) -> subprocess.Popen[bytes]:
        (self.state / "engine.json").unlink(missing_ok=True)
        with (self.root / "engine.log").open("ab") as log:
            environment = {**os.environ, **variables}
            engine = subprocess.Popen(
                self.command(*more), stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment
            )
        self.engines.append(engine)
        self.wait_for((self.state / "engine.json").exists)
        return engine

    def wait_for(self, reached: Callable[[], Any], seconds: float = 30.0) -> Any:
        end = time.monotonic() + seconds
        while not (found := reached()):
            assert time.monotonic() < end, (self.root / "engine.log").read_text()
            time.sleep(0.02)
        return found

    def get(self, url: str) -> dict[str, Any]:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        try:
            connection.request("GET", parts.path or "/")
            answer = connection.getresponse()
            return {"code": answer.status, **json.loads(answer.read())}
        except (OSError, ValueError, http.client.HTTPException) as error:
            return {"code": 0, "error": repr(error)}
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        url = json.loads((self.state / "engine.json").read_text())["url"]
        return self.get(f"{url}/applications/shop-production")

    def live(self, revision: str) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            status = self.status()
            good = status["code"] == 200 and status["health"] == "healthy" and status["sync"] == "synced"
            return status if good and status["revision"]["live"] == revision else None

        return self.wait_for(reached)

    def instances(self) -> list[str]:
        return sorted(path.name for path in (self.state / "instances").iterdir())

    def end(self) -> None:
        """End everything, whatever state a test left it in."""
        for engine in self.engines:
            engine.kill()
            engine.wait()
            assert engine.stdin
            engine.stdin.close()
        last = self.start()
        last.terminate()
        assert last.wait(30) == 0
        assert last.stdin
        last.stdin.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.end()
    assert world.instances() == []


class Visitors:
    """Requests one after another while the context is open."""

    def __init__(self, world: World, url: str) -> None:
        self.answers: Counter[str] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(world, url))

    def _run(self, world: World, url: str) -> None:
        while not self._stop.is_set():
            answer = world.get(url)
            self.answers[answer["version"] if answer["code"] == 200 else str(answer)] += 1
            self._stop.wait(0.01)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_an_update_loses_no_request_and_leaves_nothing_old(world: World) -> None:
    world.start()
    entrance = world.live(world.git("rev-parse", "HEAD"))["entrances"]["web"]
    with Visitors(world, entrance) as visitors:
        world.live(world.release("v2"))
        world.wait_for(lambda: len(world.instances()) == 1)
    assert set(visitors.answers) == {"v1", "v2"}
    assert world.get(entrance)["version"] == "v2"
    digests = {image.rpartition(":")[2] for image in world.images.values()}
    world.wait_for(lambda: len(digests & {path.name for path in (world.state / "images").iterdir()}) == 1)


def test_kill_minus_nine_of_the_engine_is_not_noticed_by_visitors(world: World) -> None:
    engine = world.start()
    status = world.live(world.git("rev-parse", "HEAD"))
    entrance, instances = status["entrances"]["web"], world.instances()
    with Visitors(world, entrance) as visitors:
        pid = world.get(entrance)["pid"]
        engine.kill()
        engine.wait()
        revision = world.release("v1", "# nobody looks\n")
        world.start()
        world.live(revision)
        assert world.get(entrance)["pid"] == pid
    assert set(visitors.answers) == {"v1"}
    assert world.instances() == instances
    assert len(list(strays(instances[0]))) == 1


def test_kill_minus_nine_in_the_middle_of_an_update_leaves_no_orphan(world: World) -> None:
    engine = world.start()
    world.live(world.git("rev-parse", "HEAD"))
    before = world.instances()
    target = world.release("v2")
    world.wait_for(lambda: len(world.instances()) > 1)
    engine.kill()
    engine.wait()
    seen = {*before, *world.instances()}
    world.start()
    world.live(target)
    (left,) = world.wait_for(lambda: found if len(found := world.instances()) == 1 else None)
    assert world.get(world.status()["entrances"]["web"])["version"] == "v2"
    assert all(not list(strays(name)) for name in seen - {left})


def test_kill_minus_nine_of_a_workload_and_of_the_proxy_is_healed(world: World) -> None:
    world.start()
    entrance = world.live(world.git("rev-parse", "HEAD"))["entrances"]["web"]
    pid = world.get(entrance)["pid"]
    os.kill(pid, signal.SIGKILL)
    healed = world.wait_for(lambda: answer if (answer := world.get(entrance))["code"] == 200 else None)
    assert healed["pid"] != pid
    proxy = json.loads((world.state / "proxy" / "proxy.status.json").read_text())["process"]
    os.kill(proxy, signal.SIGKILL)
    world.wait_for(lambda: world.get(entrance)["code"] == 200)
    world.live(world.git("rev-parse", "HEAD"))


def test_a_second_engine_is_refused_and_changes_nothing(world: World) -> None:
    world.start()
    world.live(world.git("rev-parse", "HEAD"))
    second = subprocess.run(world.command(), capture_output=True, text=True, check=False)
    assert second.returncode == 3
    assert f"uses {world.state}" in second.stderr
    world.live(world.git("rev-parse", "HEAD"))


def test_workloads_can_be_left_to_the_next_engine(world: World) -> None:
    engine = world.start("--keep-workloads")
    status = world.live(world.git("rev-parse", "HEAD"))
    pid = world.get(status["entrances"]["web"])["pid"]
    engine.terminate()
    assert engine.wait(60) == 0
    assert world.get(status["entrances"]["web"])["pid"] == pid


def test_it_ends_with_whoever_started_it(world: World) -> None:
    engine = world.start("--until-stdin-closes")
    world.live(world.git("rev-parse", "HEAD"))
    assert engine.stdin
    engine.stdin.close()
    assert engine.wait(30) == 0
    assert world.instances() == []


def test_a_webhook_spares_the_wait_for_the_next_poll(world: World) -> None:
    world.start("--poll", "10m", PIPEGRAFT_WEBHOOK_SECRET="hush")
    world.live(world.git("rev-parse", "HEAD"))
    target = world.release("v2")
    push = {"ref": "refs/heads/main", "project": {"git_http_url": str(world.draft)}}
    url = json.loads((world.state / "engine.json").read_text())["url"]
    request = urllib.request.Request(
        f"{url}/webhook", json.dumps(push).encode(), {"X-Gitlab-Token": "hush"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.loads(answer.read()) == {"looking-at": [f"{world.draft} (main)"]}
    world.live(target)


def test_several_applications_of_a_file(world: World) -> None:
    other = world.draft / "apps" / "till"
    (other / "environments").mkdir(parents=True)
    (other / "app.yaml").write_text(APP.replace("shop", "till"))
    staging = f'components:\n  web: {{image: "{world.images["v2"]}"}}\n'
    (other / "environments/staging.yaml").write_text(staging)
    revision = world.release("v1")
    listed = world.root / "engine.yaml"
    listed.write_text(
        "applications:\n"
        "  - {repository: draft, environments: [production]}\n"
        "  - {repository: draft, path: apps/till, environments: [staging]}\n"
    )
    world.command = lambda *more: [  # type: ignore[method-assign]
        *(sys.executable, "-m", "pipegraft", "engine", "--applications", str(listed)),
        *("--state", str(world.state), "--poll", "100ms", *more),
    ]
    world.start()
    entrance = world.live(revision)["entrances"]["web"]
    url = json.loads((world.state / "engine.json").read_text())["url"]
    page = f"{url}/applications/till-staging"
    world.wait_for(lambda: world.get(page).get("sync") == "synced")
    till = world.get(page)
    assert (world.get(entrance)["version"], world.get(till["entrances"]["web"])["version"]) == ("v1", "v2")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "applications:\n  - {repository: x, environments: [y], branhc: z}\n",
            ":2:40: unknown key",
        ),
        ("applications: []\n", ":1:15: 'applications': expected one application or more"),
        ("applications:\n- &a {repository: ., environments: [y]}\n- *a\n", "is named 2 times"),
    ],
)
def test_a_list_with_a_mistake_starts_nothing(tmp_path: Path, text: str, told: str) -> None:
    listed = tmp_path / "engine.yaml"
    listed.write_text(text)
    words = ["engine", "--applications", str(listed), "--state", str(tmp_path / "state")]
    done = subprocess.run(
        [sys.executable, "-m", "pipegraft", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert told in done.stderr
