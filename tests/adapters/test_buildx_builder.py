"""The buildx builder: what it accepts, and how it reads docker's command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipegraft.actions.build_context import read_context
from pipegraft.adapters.build.buildx import BuildxBuilder
from pipegraft.errors import BuildFailed, Unreachable
from pipegraft.ports.images import BuildRequest
from pipegraft.ports.registry import FakeRegistry


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
