"""The example plugin, installed as a third party's would be."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sysconfig
import threading
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

DELIVERY = """\
app: shop
registry: oci:registry
components: {web: {path: web}}
iac: {repository: ../iac.git}
environments:
  production: {gate: {engine: embedded, url: "http://127.0.0.1:9", application: shop-production}}
"""


@pytest.fixture(scope="module")
def pipegraft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`pipegraft` in a fresh virtual environment that has the plugin; dependencies come from this one."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    site = next((home / "lib").glob("python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    for package in (ROOT, ROOT / "examples" / "plugin-smoke-test"):
        subprocess.run([*install, package], check=True, env=environment)
    return home / "bin" / "pipegraft"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "web").mkdir()
    (tmp_path / "delivery.yaml").write_text(DELIVERY)
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", "-C", tmp_path, *words], check=True)
    return tmp_path


@pytest.fixture
def server() -> Iterator[str]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def call(pipegraft: Path, project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([pipegraft, *words], cwd=project, capture_output=True, text=True, check=False)


def test_the_stage_is_listed_and_planned_behind_the_gate(pipegraft: Path, project: Path) -> None:
    listed = json.loads(call(pipegraft, project, "plugins", "--json").stdout)
    assert {"name": "smoke-test", "origin": "pipegraft-smoke-test 1.0.0", "error": ""}.items() <= listed[
        -1
    ].items()
    assert listed[-1]["provides"] == ["stage smoke-test"]
    planned = json.loads(call(pipegraft, project, "plan", "--json").stdout)
    names = [stage["id"] for stage in planned]
    assert names.index("smoke-test:production") == names.index("sync-gate:production") + 1


def test_the_stage_runs_with_its_inputs(pipegraft: Path, project: Path, server: str) -> None:
    words = ("run", "smoke-test", "--env", "production", "--set", f"url={server}")
    good = call(pipegraft, project, *words)
    assert (good.returncode, "/: answered 200" in good.stderr) == (0, True), good.stderr
    bad = call(pipegraft, project, *words, "--set", "paths=/,/missing")
    assert bad.returncode == 1
    assert f"error: {server}/missing: expected 200, found 404" in bad.stderr
    wrong = call(pipegraft, project, *words, "--set", "expect=fine")
    assert wrong.returncode == 2
    assert "input 'expect' of stage 'smoke-test'" in wrong.stderr
