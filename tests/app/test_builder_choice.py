"""Which builder a component gets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipegraft.app.plugins import shipped_plugins
from pipegraft.core.delivery_file import open_project
from pipegraft.core.errors import ConfigError, UsageError
from pipegraft.core.hooks import LiveConnections
from pipegraft.images.hooks import IMAGE_BUILDER, WHY_BUILDER


def chosen(folder: Path, declared: str, dockerfile: str | None = "FROM scratch\n") -> str:
    (folder / "web").mkdir()
    if dockerfile is not None:
        (folder / "web/Dockerfile").write_text(dockerfile)
    (folder / "delivery.yaml").write_text(
        f"app: shop\nregistry: oci:images\ncomponents:\n  web: {{path: web{declared}}}\n"
        "iac: {repository: iac.git}\n"
        "environments: {staging: {gate: {engine: embedded, state: x, application: y}}}\n"
    )
    return LiveConnections(open_project(folder, shipped_plugins())).open(IMAGE_BUILDER, "web")[0]


@pytest.fixture(autouse=True)
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", "tcp://engine:2376")


@pytest.mark.parametrize(
    ("declared", "dockerfile", "name"),
    [
        ("", "FROM scratch\n", "docker"),
        ("", None, "layer"),
        ("", "FROM scratch\nRUN --mount=type=cache,target=/c true\n", "buildx"),
        (", builder: buildx", "FROM scratch\n", "buildx"),
        (", secrets: {npm: {env: NPM_TOKEN}}", "FROM scratch\n", "buildx"),
        (", cache: {from: ['type=registry,ref=r/c'], to: ['type=inline']}", "FROM scratch\n", "buildx"),
        (", cache: {}", "FROM scratch\n", "docker"),
    ],
)
def test_the_first_that_can_do_all_that_is_asked(
    tmp_path: Path, declared: str, dockerfile: str | None, name: str
) -> None:
    assert chosen(tmp_path, declared, dockerfile) == name


@pytest.mark.parametrize(
    ("builder", "asked", "missing"),
    [
        ("docker", "secrets: {npm: {file: .npmrc}}", "build secrets"),
        ("docker", "cache: {to: ['type=inline']}", "a build cache"),
        ("layer", "secrets: {npm: {env: A}}, cache: {to: [x]}", "build secrets and a build cache"),
    ],
)
def test_a_builder_says_what_it_cannot_do(tmp_path: Path, builder: str, asked: str, missing: str) -> None:
    said = f"the builder '{builder}' cannot use {missing}, which takes BuildKit"
    with pytest.raises(UsageError, match=said):
        chosen(tmp_path, f", builder: {builder}, {asked}")


def test_secrets_without_a_dockerfile_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="layer: the builder 'layer' cannot use build secrets"):
        chosen(tmp_path, ", secrets: {npm: {env: A}}", None)


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("{}", "a build secret has either 'env' or 'file'"),
        ("{env: A, file: b}", "a build secret has either 'env' or 'file'"),
        ("{env: A=B}", "'components.web.secrets.npm.env'"),
        ("{file: ../b}", "expected a relative path inside the repository"),
    ],
)
def test_a_secret_names_one_place(tmp_path: Path, secret: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        chosen(tmp_path, f", secrets: {{npm: {secret}}}")


@pytest.mark.parametrize(
    ("programs", "variables", "name"),
    [
        (["buildctl-daemonless.sh", "buildah"], {}, "buildkit"),
        (["buildctl", "buildah"], {"BUILDKIT_HOST": "tcp://buildkitd:1234"}, "buildkit"),
        (["buildctl", "buildah"], {}, "buildah"),
        (["docker", "buildah"], {}, "buildah"),
        (["docker", "buildah"], {"BUILDX_BUILDER": "apart"}, "buildx"),
    ],
)
def test_without_an_engine_what_is_there_builds(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    programs: list[str],
    variables: dict[str, str],
    name: str,
) -> None:
    alone(tmp_path, monkeypatch, programs, variables)
    assert chosen(tmp_path, "") == name


def test_without_any_builder_the_job_is_told_what_each_of_them_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone(tmp_path, monkeypatch, [], {})
    with pytest.raises(UsageError) as caught:
        chosen(tmp_path, "")
    said = str(caught.value)
    for part in (
        "docker: there is no Docker Engine",
        "buildkit: BUILDKIT_HOST is not set",
        "buildah: buildah is not",
    ):
        assert part in said
    assert "Three set-ups" in said


def alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: list[str], variables: dict[str, str]
) -> None:
    """No engine and no daemon, and these programs alone."""
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setattr("docker.constants.DEFAULT_UNIX_SOCKET", f"http+unix://{tmp_path}/docker.sock")
    monkeypatch.setattr("pipegraft.images.adapters.daemonless._SOCKET", tmp_path / "buildkitd.sock")
    folder = tmp_path / "programs"
    folder.mkdir()
    for program in programs:
        (folder / program).write_text("#!/bin/sh\n")
        (folder / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_why_a_builder_is_taken_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def why() -> str:
        return LiveConnections(open_project(tmp_path, shipped_plugins())).open(WHY_BUILDER, "web")

    assert chosen(tmp_path, "", None) == "layer"
    assert why() == "the first that can; docker, buildx, buildkit, buildah: it has no Dockerfile"
    (tmp_path / "web/Dockerfile").write_text("FROM scratch\n")
    assert why() == "the first that can"
    declared = (tmp_path / "delivery.yaml").read_text().replace("path: web", "path: web, builder: buildx")
    (tmp_path / "delivery.yaml").write_text(declared)
    assert why() == "delivery.yaml names it"
