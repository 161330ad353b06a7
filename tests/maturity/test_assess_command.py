"""`pipegraft assess` on real repositories."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pipegraft.cli import run

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example, a git repository beside its IaC repository."""
    shop, draft = tmp_path / "shop", tmp_path / "draft"
    shutil.copytree(ROOT / "examples" / "shop", shop, ignore=shutil.ignore_patterns("iac", ".pipegraft"))
    shutil.copytree(ROOT / "examples" / "shop" / "iac", draft)
    for folder in (shop, draft):
        git(folder, "init", "-q", "-b", "main")
        git(folder, "add", "-A")
        git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
    git(tmp_path, "clone", "-q", "--bare", str(draft), "shop-iac.git")
    monkeypatch.chdir(shop)
    return shop


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


def assessed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, dict[str, object]]:
    capsys.readouterr()
    assert run(["assess", *words, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    return {one["name"]: one for one in found["signals"]}


def test_the_example_is_assessed_with_its_iac_repository(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = assessed(capsys)
    assert found["app-spec"]["answer"] == "yes"
    assert found["app-spec"]["evidence"] == [{"file": "app.yaml", "line": 1, "text": "app: shop"}]
    assert found["ci-tests"]["evidence"][0]["file"] == ".gitlab-ci.yml"  # type: ignore[index]
    assert found["ci-delivers"]["answer"] == "no"


def test_a_repository_that_cannot_be_reached_is_not_taken_for_a_bad_one(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = shop.parent / "elsewhere.git"
    (shop.parent / "shop-iac.git").rename(moved)
    assert assessed(capsys)["app-spec"]["answer"] == "cannot be seen from here"
    assert assessed(capsys, "--iac", str(moved))["app-spec"]["answer"] == "yes"


def test_the_view_names_the_stage_and_the_next_step(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["assess", "--all"]) == 0
    out = capsys.readouterr().out
    assert "●●○○○ 2" in out
    assert "pipegraft assess --fix --signal ci-job-limits" in out
    assert "✔ 2 a job runs the tests" in out


def test_several_repositories_are_compared_and_drawn(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert run(["assess", ".", "../empty", "--html", "fleet.html"]) == 0
    out = capsys.readouterr().out
    assert "shop" in out
    assert "empty" in out
    page = (shop / "fleet.html").read_text()
    assert page.count("<tr>") == 1 + 2 + 2 * 8  # the fleet's table, then each repository's
    assert "there is no CI configuration" in page


def test_a_bare_repository_is_refused(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["assess", "../shop-iac.git"]) == 2
    assert "found a bare one\n    fix: clone it, `git clone ../shop-iac.git`" in capsys.readouterr().err


def test_each_next_step_is_taken_until_none_is_left(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = assessed(capsys)
    assert run(["assess", "--fix", "--signal", "ci-job-limits", "--dry-run"]) == 0
    assert "+  timeout: 1h" in capsys.readouterr().out
    assert assessed(capsys) == before
    for _ in range(20):
        assert run(["assess", "--fix"]) == 0
        if "nothing that can be done" in capsys.readouterr().out:
            break
    else:
        pytest.fail("it went on for ever")
    after = assessed(capsys)
    for name in ("ci-job-limits", "ci-interruptible", "ci-delivers"):
        assert (before[name]["answer"], after[name]["answer"]) == ("no", "yes")
    assert "bake: 10m" in (shop / "delivery.yaml").read_text()
    assert (shop / ".pipegraft/gitlab.yml").exists()
    assert after["sync-gate"]["reason"].startswith("delivery.yaml promises it")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "expected a folder with a repository"),
        (["--signal", "x"], "add --fix"),
        (["--fix", ".", ".."], "expected one repository"),
        (["--fix", "--signal", "ci-file"], "needs no step"),
        (["--fix", "--signal", "ci-test-reports"], "is for people"),
        (["--fix", "--signal", "ci-filee"], "write 'ci-file'"),
    ],
)
def test_wrong_usage_is_explained(
    shop: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert run(["assess", *words]) == 2
    assert told in capsys.readouterr().err


def test_init_alone_lifts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "lending"
    source.mkdir()
    (source / "Dockerfile").write_text("FROM scratch\nEXPOSE 8080\n")
    (source / ".gitlab-ci.yml").write_text("test: {script: [make]}\n")
    monkeypatch.chdir(source)
    git(source, "init", "-q", "-b", "main")

    def stages() -> dict[str, int]:
        capsys.readouterr()
        assert run(["assess", "--json"]) == 0
        (found,) = json.loads(capsys.readouterr().out)
        return {one["dimension"]: one["stage"] for one in found["dimensions"]}

    before = stages()
    assert run(["init", "--yes"]) == 0
    assert (source / "delivery.yaml").exists()
    assert stages() == before
