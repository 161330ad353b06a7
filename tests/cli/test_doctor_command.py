"""`pipegraft doctor`: its exit codes, and what machines read."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pipegraft.cli import run

ROOT = Path(__file__).parent.parent.parent
QUICK = ("--only", "registry", "--only", "iac-repository", "--only", "builders")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example beside its IaC repository."""
    shop, iac = tmp_path / "shop", tmp_path / "shop-iac.git"
    shutil.copytree(ROOT / "examples" / "shop", shop, ignore=shutil.ignore_patterns("iac", ".pipegraft"))
    shutil.copytree(ROOT / "examples" / "shop" / "iac", iac)
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=iac, check=True, capture_output=True)
    monkeypatch.chdir(shop)
    return shop


def test_everything_is_well(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", *QUICK]) == 0
    assert "nothing is wrong" in capsys.readouterr().out


def test_what_is_wrong_ends_with_one_and_says_how_to_mend_it(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shop / ".pipegraft").write_text("a file where the registry's folder should be\n")
    assert run(["doctor", *QUICK]) == 1
    out = capsys.readouterr().out
    assert "✘ oci:.pipegraft/registry" in out
    assert "→ give this user the right" in out
    assert "1 wrong" in out


def test_what_does_not_answer_ends_with_three(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (shop / "delivery.yaml").read_text()
    (shop / "delivery.yaml").write_text(text.replace("../shop-iac.git", "http://127.0.0.1:9/shop-iac.git"))
    assert run(["doctor", *QUICK, "--json"]) == 3
    checks = {one["examination"]: one["diagnoses"] for one in json.loads(capsys.readouterr().out)}
    assert checks["registry"][0]["health"] == "good"
    last = checks["iac-repository"][-1]
    assert (last["health"], "http://127.0.0.1:9/shop-iac.git" in last["found"]) == ("not reachable", True)
    assert last["mend"]


def test_a_repository_that_is_not_there_is_wrong(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(shop.parent / "shop-iac.git")
    assert run(["doctor", *QUICK, "--json"]) == 1
    checks = {one["examination"]: one["diagnoses"] for one in json.loads(capsys.readouterr().out)}
    last = checks["iac-repository"][-1]
    assert (last["health"], "expected a git repository" in last["found"]) == ("wrong", True)


def test_wrong_usage_and_a_wrong_delivery_end_with_two(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", "--only", "regstry"]) == 2
    assert "write 'registry'" in capsys.readouterr().err
    (shop / "delivery.yaml").write_text("app: Shop\n")
    assert run(["doctor"]) == 2
