"""A run in which nothing changed: one question for each image, and little else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from registry_server import RegistryServer

RUN = """
import sys
from pipegraft.cli import run
sys.exit(run(["run", "image-build"]))
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for name in ("web", "pricing"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "main.py").write_text(name)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    commit(tmp_path)
    return tmp_path


def commit(folder: Path) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    words = ["git", "-C", str(folder), *identity, "commit", "-q", "--allow-empty", "-m", "a change"]
    subprocess.run(words, check=True)


def run(shop: Path, registry: RegistryServer) -> str:
    """What was said."""
    (shop / "delivery.yaml").write_text(
        f"app: shop\nregistry: {registry.name}/shop\n"
        "components: {web: {path: web, command: [run]}, pricing: {path: pricing, command: [run]}}\n"
        "iac: {repository: iac.git}\n"
        "environments: {staging: {gate: {engine: embedded, state: x, application: y}}}\n"
    )
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("CI", "GITLAB"))}
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=shop,
        capture_output=True,
        text=True,
        check=False,
        env={**variables, "PIPEGRAFT_INSECURE_REGISTRIES": registry.name, "DOCKER_CONFIG": str(shop)},
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_nothing_changed_costs_one_question_an_image(shop: Path) -> None:
    with RegistryServer() as registry:
        run(shop, registry)
        run(shop, registry)  # the record says now that nothing was built
        record = shop / ".pipegraft/release.json"
        written = record.stat()
        registry.requests.clear()
        said = run(shop, registry)
        assert sorted(request.split("/")[0] for request in registry.requests) == ["HEAD ", "HEAD "]
    assert "web: unchanged" in said
    assert "pricing: unchanged" in said
    assert json.loads(record.read_text())["images"]["web"]["built"] is False
    assert (record.stat().st_ino, record.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


def test_commits_are_counted_once_for_a_record(shop: Path) -> None:
    with RegistryServer() as registry:
        run(shop, registry)
        record = shop / ".pipegraft/release.json"
        assert json.loads(record.read_text())["source"]["number"] == 1
        record.write_text(record.read_text().replace('"number": 1', '"number": 8'))  # a number given by hand
        run(shop, registry)
        assert json.loads(record.read_text())["source"]["number"] == 8
        commit(shop)
        run(shop, registry)
    assert json.loads(record.read_text())["source"]["number"] == 2
