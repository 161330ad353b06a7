"""Plugins, installed as a third party's would be: the example, and a new one."""

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

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]

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
    install(python, ROOT)
    install(python, ROOT / "examples" / "plugin-smoke-test")
    return home / "bin" / "pipegraft"


def install(python: Path, package: Path, *options: str | Path) -> None:
    words = [python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run([*words, *options, package], check=True, env=environment)


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


def test_a_password_in_the_address_is_not_shown(pipegraft: Path, project: Path, server: str) -> None:
    secret = server.replace("http://", "http://user:hunter2@")
    words = ("run", "smoke-test", "--env", "production", "--set", f"url={secret}")
    done = call(pipegraft, project, *words, "--set", "paths=/missing")
    assert done.returncode == 1, done.stderr
    assert f"{server}/missing: expected 200, found 404" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_a_new_plugin_works_before_a_line_of_it_was_changed(pipegraft: Path, tmp_path: Path) -> None:
    made = call(pipegraft, tmp_path, "plugin", "new", "cost-check")
    assert made.returncode == 0, made.stderr
    package, site = tmp_path / "pipegraft-cost-check", tmp_path / "site"
    install(pipegraft.parent / "python", package, "--target", site)  # beside the other tests, not for them
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def ask(*words: str | Path) -> str:
        done = subprocess.run(
            words, cwd=package, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "passed" in ask(pipegraft.parent / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    provided = {one["name"]: one["provides"] for one in json.loads(ask(pipegraft, "plugins", "--json"))}
    assert provided["cost-check"] == ["stage cost-check"]
    generated = (package / "ci_templates" / "gitlab" / "cost-check.yml").read_text()
    assert "minimum:" in generated
    assert (package / "ci_templates" / "jenkins" / "vars" / "pipegraftCostCheck.groovy").exists()
    assert "How many images a release must have." in (package / "docs/stages/cost-check.md").read_text()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Cost_Check", "expected a name in kebab-case"),
        ("1abc", "fix: begin with a lower-case letter"),
        ("a--b", "go on with letters, digits and single '-'"),
        ("sync-gate", "there is a stage called 'sync-gate' already"),
        ("taken", "expected a new or an empty folder"),
    ],
)
def test_a_new_plugin_that_cannot_be_leaves_nothing_behind(
    pipegraft: Path, tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "pipegraft-taken").mkdir()
    (tmp_path / "pipegraft-taken" / "mine.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    refused = call(pipegraft, tmp_path, "plugin", "new", name)
    assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr
    assert sorted(tmp_path.rglob("*")) == before
