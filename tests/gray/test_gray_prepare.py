"""`pipegraft gray prepare`: which number the release has, and what a dry run answers."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipegraft.cli import run

DELIVERY = """\
app: shop
registry: oci:images
components: {web: {path: web, command: [cat]}}
iac: {repository: ../iac.git}
environments:
  production:
    gate: {engine: embedded, state: ../engine, application: shop-production}
    gray: {metrics: [{source: embedded, state: ../engine}]}
"""
APP = "app: shop\ncomponents: {web: {ports: {http: 8080}}}\n"
PRODUCTION = (
    f"release: {{number: 1234, source: abc}}\ncomponents:\n  web:\n    image: r/web@sha256:{'1' * 64}\n"
)
PREPARE = ["gray", "prepare", "--json", "--set", "components.web.env.LIMIT=5"]


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    command = ["git", *identity, "-C", str(folder), *words]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source repository with one commit, and an IaC repository in which pipeline 1234 has released."""
    for name in list(os.environ):
        if name.startswith(("CI", "GITLAB_", "BUILD_", "JENKINS_", "PIPEGRAFT_")):
            monkeypatch.delenv(name)
    draft, source = tmp_path / "draft", tmp_path / "shop"
    for folder, files in (
        (draft, {"app.yaml": APP, "environments/production.yaml": PRODUCTION}),
        (source, {"delivery.yaml": DELIVERY, "web/web.txt": "hello\n"}),
    ):
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        git(folder, "init", "-q", "-b", "main")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", "first")
    git(tmp_path, "clone", "-q", "--bare", str(draft), "iac.git")
    monkeypatch.chdir(source)
    return source


def prepare(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    assert run([*PREPARE, *words]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_dry_run_answers_the_difference_and_writes_nothing(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    iac = shop.parent / "iac.git"
    tip = git(iac, "rev-parse", "main")
    found = prepare(capsys, "--dry-run")
    assert {key: found[key] for key in ("environment", "release", "outcome", "commit")} == {
        "environment": "production",
        "release": 1235,
        "outcome": "planned",
        "commit": None,
    }
    assert found["diff"].startswith("--- a/environments/production.yaml\n")
    assert '+        LIMIT: "5"\n' in found["diff"]
    assert git(iac, "rev-parse", "main") == tip
    assert not (shop / ".pipegraft" / "release.json").exists()
    assert run(["gray", "prepare", "--json", "--dry-run", "--set", "components.web.ports.http=8080"]) == 0
    same = json.loads(capsys.readouterr().out)
    assert (same["outcome"], same["diff"]) == ("unchanged", "")


def test_by_hand_it_has_the_number_after_the_newest_release(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    iac = shop.parent / "iac.git"
    first = prepare(capsys)
    assert (first["release"], first["outcome"], first["diff"]) == (1235, "written", None)
    again = prepare(capsys)
    assert (again["release"], again["outcome"], again["commit"]) == (1235, "unchanged", first["commit"])
    assert run(["gray", "abort"]) == 0
    assert git(iac, "show", "main:environments/production.yaml") == PRODUCTION
    capsys.readouterr()
    assert prepare(capsys)["release"] == 1235
    assert run(["rollback", "--env", "production"]) == 0
    capsys.readouterr()
    assert prepare(capsys)["release"] == 1236, "what was taken back for good does not come again"


def test_a_number_that_is_given_is_taken(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPEGRAFT_RELEASE_NUMBER", "1300")
    assert prepare(capsys, "--dry-run")["release"] == 1300
    monkeypatch.setenv("PIPEGRAFT_RELEASE_NUMBER", "1200")
    assert run([*PREPARE, "--dry-run"]) == 2
    assert "expected a number above 1234" in capsys.readouterr().err
