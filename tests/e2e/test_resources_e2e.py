"""An application with a database, a cache and a file, on this machine: nothing of it is made up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from harness import need, server, wait_until

from pipegraft.engine.adapters.machine_resources import MachineResources
from pipegraft.engine.adapters.supervision import ProcessId, end_process, is_running
from pipegraft.images.adapters.layer import LayerBuilder
from pipegraft.images.adapters.registry import LayoutRegistry
from pipegraft.images.build_context import read_context
from pipegraft.images.hooks import BuildRequest

pytestmark = pytest.mark.e2e

SERVER = """\
import http.server, json, os, socket, sqlite3, subprocess

def cache():
    with socket.create_connection((os.environ["CACHE_HOST"], int(os.environ["CACHE_PORT"]))) as link:
        link.sendall(f"AUTH {os.environ['CACHE_PASSWORD']}\\r\\nINCR visits\\r\\n".encode())
        answer = link.makefile("rb")
        return answer.readline().decode().strip(), answer.readline().decode().strip()

def database():
    sql = "CREATE TABLE IF NOT EXISTS visits (at int); INSERT INTO visits VALUES (1);"
    sql += "SELECT count(*) FROM visits"
    done = subprocess.run(["psql", "-qtA", os.environ["DSN"], "-c", sql], capture_output=True, text=True)
    return done.stdout.strip() or done.stderr

def file():
    database = sqlite3.connect(os.environ["FILE"])
    database.execute("CREATE TABLE IF NOT EXISTS visits (at int)")
    database.execute("INSERT INTO visits VALUES (1)")
    database.commit()
    return database.execute("SELECT count(*) FROM visits").fetchone()[0]

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        if self.path == "/":
            self.wfile.write(json.dumps({"cache": cache(), "database": database(), "file": file()}).encode())
    def log_message(self, *args): pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PIPEGRAFT_PORT_WEB"])), Handler).serve_forever()
"""
APP = """\
app: shop
components:
  web:
    ports: {http: 8080}
    readiness: {path: /healthz}
    entrance: {}
    env:
      CACHE_HOST: ${resources.cache.host}
      CACHE_PORT: ${resources.cache.port}
      CACHE_PASSWORD: ${resources.cache.password}
      DSN: postgresql://${resources.db.username}:${resources.db.password}@${resources.db.host}:${resources.db.port}/${resources.db.database}
      FILE: ${resources.file.path}
resources:
  cache: {type: redis, params: {persistent: true}}
  db: {type: postgres, params: {database: orders}}
  file: {type: sqlite}
"""
GIT = {
    **{f"GIT_{who}_{what}": "t@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that another user can enter: PostgreSQL does not run as root."""
    with tempfile.TemporaryDirectory(prefix="pipegraft-resources-") as name:
        Path(name).chmod(0o711)
        yield Path(name)
        state = Path(name) / "state"
        MachineResources(state / "resources", state / "outputs").end()  # of a test that failed
        for record in state.glob("instances/*/instance.json"):
            for container in json.loads(record.read_text())["containers"]:
                end_process(ProcessId(**container["process"]))


class World:
    """A repository with the application, and an engine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.repository = folder / "iac"
        (self.repository / "environments").mkdir(parents=True)
        (self.repository / "app.yaml").write_text(APP)
        there = f"components: {{web: {{image: '{self._build()}'}}}}\n"
        (self.repository / "environments" / "home.yaml").write_text(there)
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "first"]):
            subprocess.run(["git", *words], cwd=self.repository, env={**os.environ, **GIT}, check=True)

    def _build(self) -> str:
        context = self.folder / "web"
        context.mkdir()
        (context / "server.py").write_text(SERVER)
        registry = self.folder / "registry"
        request = BuildRequest(
            "web",
            context,
            read_context(context).entries,
            "web",
            ("v1",),
            target="/app",
            command=(sys.executable, "-S", "/app/server.py"),
        )
        digest = LayerBuilder().build(request, LayoutRegistry(registry), lambda _line: None).digest
        return f"oci:{registry}/web@{digest}"

    @contextmanager
    def engine(self) -> Iterator[subprocess.Popen[bytes]]:
        where = ["--repository", str(self.repository), "--env", "home", "--state", str(self.state)]
        command = [sys.executable, "-m", "pipegraft", "engine", *where, "--poll", "100ms"]
        record = self.state / "engine.json"
        record.unlink(missing_ok=True)
        with server(command, self.folder / "engine.log", record.exists) as process:
            yield process

    def status(self) -> dict[str, Any]:
        url = json.loads((self.state / "engine.json").read_text())["url"]
        with urllib.request.urlopen(f"{url}/applications/shop-home") as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def healthy(self) -> bool:
        try:
            return self.status()["health"] == "healthy" and self.status()["sync"] == "synced"
        except urllib.error.HTTPError:
            return False

    def visit(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.status()["entrances"]["web"]) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def process(self, name: str) -> int | None:
        """The server's process, if it runs; PostgreSQL writes over its variables, so its record says it."""
        record = json.loads((self.state / "resources" / "shop-home" / name / "resource.json").read_text())
        held = record["process"] and ProcessId(**record["process"])
        return held.pid if held and is_running(held) else None


def test_an_application_uses_its_resources_over_restarts_of_everything(folder: Path) -> None:
    need("redis-server", "psql", "setpriv")
    world = World(folder)
    with world.engine() as engine:
        wait_until(world.healthy, f"healthy; {folder / 'engine.log'}")
        kinds = [(one["kind"], one["name"]) for one in world.status()["resources"]]
        assert kinds == [
            ("resource", "shop-cache"),
            ("resource", "shop-db"),
            ("resource", "shop-file"),
            ("workload", "web"),
        ]
        assert world.visit() == {"cache": ["+OK", ":1"], "database": "1", "file": 1}
        for name in ("shop-db", "shop-cache"):
            before = world.process(name)
            assert before
            os.kill(before, signal.SIGTERM)
            wait_until(
                lambda name=name, old=before: world.process(name) not in (old, None), f"{name} is back"
            )
        wait_until(world.healthy, "healed")
        assert world.visit() == {"cache": ["+OK", ":2"], "database": "2", "file": 2}
        engine.kill()
        engine.wait()
    assert world.process("shop-db"), "they outlive the engine"
    with world.engine() as engine:
        wait_until(world.healthy, "taken over")
        assert world.visit() == {"cache": ["+OK", ":3"], "database": "3", "file": 3}
        engine.terminate()
        assert engine.wait(60) == 0
    assert world.process("shop-db") is world.process("shop-cache") is None
    with world.engine() as engine:
        wait_until(world.healthy, "started again")
        assert world.visit() == {"cache": ["+OK", ":4"], "database": "4", "file": 4}
        engine.terminate()
        engine.wait(60)


def test_no_secret_is_seen(folder: Path) -> None:
    need("redis-server", "psql", "setpriv")
    world = World(folder)
    with world.engine() as engine:
        wait_until(world.healthy, "healthy")
        secrets = [path.read_text() for path in (world.state / "outputs").glob("*/password")]
        assert len(secrets) == 2
        shown = json.dumps(world.status()) + (folder / "engine.log").read_text()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                shown += path.read_bytes().decode(errors="replace")
        assert not [secret for secret in secrets if secret in shown]
        open_to_others = [
            str(path)
            for path in world.state.rglob("*")
            if path.is_file()
            and path.stat().st_mode & 0o077
            and path.stat().st_size < 1 << 20
            and any(secret.encode() in path.read_bytes() for secret in secrets)
        ]
        assert open_to_others == []
        engine.terminate()
        engine.wait(60)
