from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipegraft.cli import run

APP = "app: shop\ncomponents:\n  web: {ports: {http: 8080}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "environments").mkdir()
    (tmp_path / "app.yaml").write_text(APP)
    for name in ("production", "staging"):
        (tmp_path / "environments" / f"{name}.yaml").write_text(f"components: {{web: {{image: {name}}}}}\n")
    return tmp_path


def test_every_environment_is_rendered(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", str(folder)]) == 0
    rendered = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [item["metadata"]["name"] for item in rendered] == ["shop-production", "shop-staging"]


@pytest.mark.parametrize(
    ("target", "kinds"),
    [("oam", ["Application"]), ("kubernetes", ["Deployment", "Service"]), ("compose", [None])],
)
def test_each_target_has_its_form(
    folder: Path, target: str, kinds: list[str | None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["render", str(folder), "--env", "staging", "--target", target, "--revision", "4be1"]) == 0
    shown = capsys.readouterr().out
    assert [item.get("kind") for item in yaml.safe_load_all(shown)] == kinds
    assert "4be1" in shown


def test_problems_of_all_environments_are_told_at_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "environments" / "staging.yaml").write_text("components: {wbe: {}}\n")
    (folder / "environments" / "production.yaml").write_text("component: {}\n")
    assert run(["render", str(folder)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "environments/production.yaml:1:1: unknown key 'component'" in shown.err
    assert "environments/staging.yaml:1:14: component 'wbe' is not declared in app.yaml" in shown.err


def test_a_compose_file_is_of_one_environment(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", str(folder), "--target", "compose"]) == 2
    assert "there are: production, staging" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--env", "nowhere"], ["--target", "nomad"]])
def test_what_does_not_exist_is_named(
    folder: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["render", str(folder), *words]) == 2
    assert words[1] in capsys.readouterr().err


def test_a_folder_without_a_spec_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", str(tmp_path)]) == 2
    assert "environments/NAME.yaml, found none" in capsys.readouterr().err
