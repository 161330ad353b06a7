"""The examples for Argo CD and Flux are what those take, and their commands do what docs/engines.md says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from crd_schemas import closed  # of the folder beside
from program import pipegraft

from pipegraft.appspec.usecases.render import Rendering, render

ROOT = Path(__file__).parents[2]
PLUGIN = yaml.safe_load((ROOT / "examples" / "argocd" / "plugin.yaml").read_text())["spec"]
APP = "app: shop\ncomponents: {web: {ports: {http: 8080}}}\n"
THERE = "namespace: space\ncomponents: {web: {image: v1}}\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "environments").mkdir()
    (tmp_path / "app.yaml").write_text(APP)
    for name in ("staging", "production"):
        (tmp_path / "environments" / f"{name}.yaml").write_text(THERE)
    return tmp_path


def call(part: dict[str, Any], folder: Path, **parameters: str) -> subprocess.CompletedProcess[str]:
    """As Argo CD does: command and args in the Application's folder, parameters as PARAM_NAME."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {"PATH": path, **{f"PARAM_{name.upper()}": value for name, value in parameters.items()}}
    command = [*part["command"], *part.get("args", ())]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_the_plugin_generates_what_render_prints(repository: Path) -> None:
    done = call(PLUGIN["generate"], repository, environment="production")
    assert done.returncode == 0, done.stderr
    assert done.stdout == render(repository, ["production"], Rendering("kubernetes"))
    done = call(PLUGIN["generate"], repository, environment="staging", target="oam")
    assert done.stdout == render(repository, ["staging"], Rendering("oam"))


def test_the_plugin_fails_with_a_reason(repository: Path) -> None:
    done = call(PLUGIN["generate"], repository)
    assert done.returncode != 0
    assert "set the parameter 'environment'" in done.stderr
    (repository / "environments" / "production.yaml").write_text("components: {wbe: {image: v1}}\n")
    done = call(PLUGIN["generate"], repository, environment="production")
    assert done.returncode == 2
    assert "environments/production.yaml:1:14: component 'wbe' is not declared" in done.stderr
    assert done.stdout == ""


def test_the_plugin_is_for_app_specs_alone(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    discover = PLUGIN["discover"]["find"]
    assert call(discover, repository).stdout.strip() == "app.yaml"
    other = tmp_path_factory.mktemp("helm")
    assert call(discover, other).stdout == ""
    (other / "environments").mkdir()
    (other / "app.yaml").write_text("apiVersion: v1\nkind: ConfigMap\n")
    assert call(discover, other).stdout == ""


def test_the_plugin_tells_the_environments(repository: Path) -> None:
    done = call(PLUGIN["parameters"]["dynamic"], repository)
    (announced,) = json.loads(done.stdout)
    assert announced["map"] == {
        "production": "environments/production.yaml",
        "staging": "environments/staging.yaml",
    }


def test_the_application_uses_the_plugin_and_its_parameters() -> None:
    application = yaml.safe_load((ROOT / "examples" / "argocd" / "application.yaml").read_text())
    plugin = application["spec"]["source"]["plugin"]
    definition = yaml.safe_load((ROOT / "examples" / "argocd" / "plugin.yaml").read_text())
    assert plugin["name"] == f"{definition['metadata']['name']}-{definition['spec']['version']}"
    announced = {one["name"]: one for one in PLUGIN["parameters"]["static"]}
    given = {one["name"] for one in plugin["parameters"]}
    assert given <= set(announced)
    assert {name for name, one in announced.items() if one.get("required")} <= given


def test_flux_is_pointed_at_what_is_committed() -> None:
    source, kustomization = yaml.safe_load_all((ROOT / "examples" / "flux" / "shop.yaml").read_text())
    assert kustomization["spec"]["path"] == "./rendered/production"
    assert kustomization["spec"]["sourceRef"]["name"] == source["metadata"]["name"]


SCHEMAS = Path(os.environ.get("PIPEGRAFT_SCHEMAS", ROOT / "../shared/schemas"))


@pytest.mark.parametrize(
    ("example", "number", "schema"),
    [
        ("argocd/application.yaml", 0, "argocd-application-crd.yaml"),
        ("flux/shop.yaml", 0, "flux-gitrepository-crd.yaml"),
        ("flux/shop.yaml", 1, "flux-kustomization-crd.yaml"),
    ],
)
def test_the_examples_are_valid(example: str, number: int, schema: str) -> None:
    if not (SCHEMAS / schema).exists():
        pytest.skip("the official schema is not here")
    document = list(yaml.safe_load_all((ROOT / "examples" / example).read_text()))[number]
    versions = yaml.safe_load((SCHEMAS / schema).read_text())["spec"]["versions"]
    wanted = document["apiVersion"].rpartition("/")[2]
    strict = next(one for one in versions if one["name"] == wanted)["schema"]["openAPIV3Schema"]
    jsonschema.Draft202012Validator(closed(strict)).validate(document)


def git(folder: Path, *words: str) -> str:
    identity = {f"GIT_{who}_{what}": "t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", *words],
        cwd=folder,
        env={**os.environ, **identity, "GIT_CONFIG_GLOBAL": os.devnull},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_releases_and_rollbacks_commit_the_manifests_with_the_environment(tmp_path: Path) -> None:
    source, iac = tmp_path / "shop", tmp_path / "shop-iac"
    source.mkdir()
    (source / "app.py").write_text("print(1)\n")
    (source / "requirements.txt").write_text("")
    git(source, "init", "-q")

    def run(*words: str) -> None:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("CI_", "GIT_"))
        }
        pipegraft(*words, folder=source, environment=environment).check_returncode()

    run("init", "--yes")
    delivery = (source / "delivery.yaml").read_text()
    wanting = delivery.replace("  write: push", "  rendered: kubernetes\n  write: push")
    (source / "delivery.yaml").write_text(wanting)
    manifests = []
    for number in (1, 2):
        (source / "app.py").write_text(f"print({number})\n")
        git(source, "add", "-A")
        git(source, "commit", "-qm", f"version {number}")
        run("run", "image-build")
        run("run", "iac-bump", "--env", "production")
        changed = git(iac, "show", "--name-only", "--format=", "HEAD").split()
        assert changed == ["environments/production.yaml", "rendered/production/manifests.yaml"]
        manifests.append((iac / "rendered" / "production" / "manifests.yaml").read_bytes())
        assert manifests[-1].decode() == render(iac, ["production"], Rendering("kubernetes"))
    run("run", "iac-bump", "--env", "production")
    assert git(iac, "rev-list", "--count", "HEAD").strip() == "3", "the same release again writes nothing"
    run("rollback", "--env", "production")
    assert (iac / "rendered" / "production" / "manifests.yaml").read_bytes() == manifests[0]
    run("run", "iac-bump", "--env", "production")
    assert (iac / "rendered" / "production" / "manifests.yaml").read_bytes() == manifests[0], "superseded"
    shutil.rmtree(source)
