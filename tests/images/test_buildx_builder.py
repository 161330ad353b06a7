"""The buildx builder: what it accepts, and how it reads docker's command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipegraft.core.errors import BuildFailed, Unreachable, UsageError
from pipegraft.images.adapters.docker import BuildxBuilder, DockerBuilder
from pipegraft.images.build_context import read_context
from pipegraft.images.hooks import BuildExtras, BuildRequest
from pipegraft.images.ports import FakeRegistry


def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "docker").write_text(f"#!/bin/sh\n{script}\n")
    (programs / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")


@pytest.fixture
def request_(tmp_path: Path) -> BuildRequest:
    context = tmp_path / "web"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nRUN --mount=type=cache,target=/c true\n")
    return BuildRequest("web", context, read_context(context).entries, "web", ("v1",))


def test_wants_a_dockerfile_and_docker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: BuildRequest
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://engine:2376")
    builder = BuildxBuilder()
    assert builder.accepts(tmp_path) == "it has no Dockerfile"
    docker(tmp_path, monkeypatch, "true")
    assert builder.accepts(request_.context) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert builder.accepts(request_.context) == "docker's command line is not installed"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo step one; echo failed to solve; exit 17", (BuildFailed, "exit code 17: failed to solve")),
        ("echo unknown flag: --cache-to; echo See help; exit 125", (UsageError, "without its buildx plugin")),
        (
            "echo Cache export is not supported for the docker driver.; echo Learn more; exit 1",
            (UsageError, "cannot write such a cache"),
        ),
        ("echo ERROR: Cannot connect to the Docker daemon at x >&2; exit 1", (Unreachable, "DOCKER_HOST")),
    ],
)
def test_failures_are_told_apart(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request_: BuildRequest,
    script: str,
    said: tuple[type[Exception], str],
) -> None:
    docker(tmp_path, monkeypatch, script)
    lines: list[str] = []
    registry = FakeRegistry()
    with pytest.raises(said[0], match=said[1]):
        BuildxBuilder().build(request_, registry, lines.append)
    assert lines
    assert registry.manifests == {}


def test_a_builder_that_is_none_is_named_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: BuildRequest
) -> None:
    script = f'[ "$1 $2" = "buildx inspect" ] || touch {tmp_path}/ran; echo \'no builder "a"\' >&2; exit 1'
    docker(tmp_path, monkeypatch, script)
    monkeypatch.setenv("BUILDX_BUILDER", "a")
    with pytest.raises(UsageError, match=r'BUILDX_BUILDER: .*no builder "a"'):
        BuildxBuilder().build(request_, FakeRegistry(), print)
    assert not (tmp_path / "ran").exists()


SECRETS = BuildExtras(
    {"npm": "NPM_TOKEN", "pip": Path("pip.conf")}, ("type=registry,ref=r/cache",), ("type=inline",)
)


def with_secrets(tmp_path: Path, request_: BuildRequest) -> BuildRequest:
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://me:hunter22@index/\n")
    extras = replace(SECRETS, secrets={"npm": "NPM_TOKEN", "pip": tmp_path / "pip.conf"})
    return replace(request_, extras=extras)


def test_secrets_are_named_to_docker_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: BuildRequest
) -> None:
    docker(
        tmp_path, monkeypatch, f'echo "$@" >{tmp_path}/said; echo "token $NPM_TOKEN"; cat pip.conf; exit 1'
    )
    monkeypatch.setenv("NPM_TOKEN", "s3cr3t-value")
    monkeypatch.chdir(tmp_path)
    lines: list[str] = []
    with pytest.raises(BuildFailed) as caught:
        BuildxBuilder().build(with_secrets(tmp_path, request_), FakeRegistry(), lines.append)
    shown = "\n".join([*lines, str(caught.value), (tmp_path / "said").read_text()])
    assert "s3cr3t" not in shown
    assert "hunter22" not in shown
    assert lines == ["token ***", "***", "***"]
    said = (tmp_path / "said").read_text()
    assert f"--secret id=npm,env=NPM_TOKEN --secret id=pip,src={tmp_path}/pip.conf" in said
    assert "--cache-from=type=registry,ref=r/cache --cache-to=type=inline" in said


def test_a_secret_that_is_not_there_is_named_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: BuildRequest
) -> None:
    docker(tmp_path, monkeypatch, f"touch {tmp_path}/ran")
    monkeypatch.delenv("NPM_TOKEN", raising=False)
    with pytest.raises(UsageError, match="'web': build secret 'npm': variable NPM_TOKEN is not set"):
        BuildxBuilder().build(with_secrets(tmp_path, request_), FakeRegistry(), print)
    monkeypatch.setenv("NPM_TOKEN", "x")
    request = with_secrets(tmp_path, request_)
    (tmp_path / "pip.conf").unlink()
    with pytest.raises(UsageError, match=r"build secret 'pip': file '.*pip\.conf' cannot be read"):
        BuildxBuilder().build(request, FakeRegistry(), print)
    assert not (tmp_path / "ran").exists()


def test_the_engines_api_refuses_what_takes_buildkit(request_: BuildRequest) -> None:
    request = replace(request_, extras=SECRETS)
    with pytest.raises(BuildFailed, match="the engine's API has no BuildKit, which takes secrets and cache"):
        DockerBuilder().build(request, FakeRegistry(), print)
