from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipegraft.cli import run

APP = """\
app: shop
components:
  web: {ports: {http: 8080}, env: {MODE: calm}}
  governance: {intimacy: ipc, ports: {proxy: 9000}}
"""
PRODUCTION = """\
components:
  web: {image: "registry/web@sha256:1", replicas: 2}
  governance: {image: "registry/governance@sha256:1"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "environments").mkdir()
    (tmp_path / "app.yaml").write_text(APP)
    (tmp_path / "environments" / "production.yaml").write_text(PRODUCTION)
    git(tmp_path, "init", "-q", "-b", "main")
    commit(tmp_path)
    return tmp_path


def git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.com", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "state")


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def data(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert run(["diff", *words, "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_nothing_differs_at_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", str(folder), "--exit-code"]) == 0
    assert capsys.readouterr().out == "production: no difference\n"


def test_a_change_of_the_work_tree_is_shown_field_by_field(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(folder / "environments/production.yaml", "replicas: 2", "replicas: 3")
    replace(folder / "app.yaml", "MODE: calm", "MODE: busy")
    assert run(["diff", str(folder), "--target", "kubernetes", "--exit-code"]) == 1
    assert capsys.readouterr().out == (
        "production: 1 changed\n"
        "~ Deployment web\n"
        "    spec.replicas: 2 → 3\n"
        "    spec.template.spec.containers[web].env[MODE].value: calm → busy\n"
    )


@pytest.mark.parametrize(
    ("target", "name", "path"),
    [
        ("oam", "component web", "traits[sidecar governance].properties.image"),
        ("kubernetes", "Deployment web", "spec.template.spec.containers[governance].image"),
        ("compose", "service web-governance", "image"),
    ],
)
def test_a_sidecar_release_is_one_field(
    folder: Path, target: str, name: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(folder / "environments/production.yaml", "governance@sha256:1", "governance@sha256:2")
    (environment,) = data(capsys, str(folder), "--target", target)
    (changed,) = environment["objects"]
    assert (changed["name"], changed["kind"]) == (name, "changed")
    assert changed["fields"] == [
        {
            "path": path,
            "kind": "changed",
            "before": "registry/governance@sha256:1",
            "after": "registry/governance@sha256:2",
        }
    ]


def test_two_commits_are_compared_and_the_work_tree_has_no_say(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(folder / "environments/production.yaml", "replicas: 2", "replicas: 5")
    commit(folder)
    (folder / "app.yaml").write_text("not: an app\n")
    (environment,) = data(capsys, str(folder), "--from", "HEAD~1", "--to", "HEAD", "--target", "kubernetes")
    fields = [field for change in environment["objects"] for field in change["fields"]]
    assert [(field["path"], field["before"], field["after"]) for field in fields] == [("spec.replicas", 2, 5)]


def test_an_environment_that_comes_or_goes_is_whole(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    production = folder / "environments/production.yaml"
    production.rename(folder / "environments/staging.yaml")
    found = {
        one["environment"]: one["objects"] for one in data(capsys, str(folder), "--target", "kubernetes")
    }
    assert [(one["name"], one["kind"]) for one in found["production"]] == [
        ("Deployment web", "removed"),
        ("Service web", "removed"),
    ]
    assert [(one["name"], one["kind"]) for one in found["staging"]] == [
        ("Deployment web", "added"),
        ("Service web", "added"),
    ]
    assert found["staging"][1]["content"]["spec"]["ports"][0]["port"] == 8080


def test_a_folder_below_the_repository_is_compared_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    below = tmp_path / "apps" / "shop"
    (below / "environments").mkdir(parents=True)
    (below / "app.yaml").write_text(APP)
    (below / "environments" / "production.yaml").write_text(PRODUCTION)
    git(tmp_path, "init", "-q", "-b", "main")
    commit(tmp_path)
    replace(below / "environments/production.yaml", "replicas: 2", "replicas: 9")
    (environment,) = data(capsys, str(below))
    assert environment["objects"][0]["fields"][0]["after"] == 9


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "nowhere"], "expected a commit 'nowhere' of the repository at"),
        (["--from", "--output=x"], "expected a commit '--output=x' of the repository at"),
        (["--env", "nowhere"], "there is no environment 'nowhere' before or after; there are: production"),
    ],
)
def test_what_does_not_exist_is_named(
    folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["diff", str(folder), *words]) == 2
    assert message in capsys.readouterr().err


def test_outside_of_a_repository_there_is_nothing_to_compare_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert run(["diff", str(tmp_path)]) == 2
    assert "expected a git repository at" in capsys.readouterr().err


def test_a_state_that_is_wrong_is_named_with_its_commit(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(folder / "app.yaml", "ports: {http", "prots: {http")
    commit(folder)
    replace(folder / "app.yaml", "prots: {http", "ports: {http")
    assert run(["diff", str(folder)]) == 2
    assert "HEAD:app.yaml:3:9: unknown key 'components.web.prots'" in capsys.readouterr().err
