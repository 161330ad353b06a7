"""The docker builder: what it accepts, how it reads the engine's streams, what it pushes."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from docker.errors import DockerException

from pipegraft.core.adapters.waiting import Patience
from pipegraft.core.errors import BuildFailed, OutsideError, Unreachable
from pipegraft.images.adapters import docker as docker_builders
from pipegraft.images.adapters.docker import DockerBuilder, engine_context, read_build
from pipegraft.images.adapters.pushing import Base, base_of, push_saved
from pipegraft.images.build_context import read_context
from pipegraft.images.documents import LAYER, LAYER_GZIP
from pipegraft.images.hooks import BaseImage, BuildRequest
from pipegraft.images.ports import FakeRegistry
from pipegraft.testing.images_suite import blob_of


def request_for(context: Path) -> BuildRequest:
    return BuildRequest("web", context, read_context(context).entries, "web", ("ih-1", "main"))


def test_wants_a_dockerfile_that_needs_no_buildkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://engine:2376")
    builder = DockerBuilder()
    assert builder.accepts(tmp_path / "missing") == "it is not a folder"
    assert builder.accepts(tmp_path) == "it has no Dockerfile"
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    assert builder.accepts(tmp_path) is None
    (tmp_path / "Other").write_text("FROM scratch\n")
    assert builder.accepts(tmp_path, "Other") is None
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setattr("docker.constants.DEFAULT_UNIX_SOCKET", "http+unix:///nowhere/docker.sock")
    assert "DOCKER_HOST is not set and /nowhere/docker.sock is not there" in (builder.accepts(tmp_path) or "")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nRUN --mount=type=secret,id=t true\n")
    assert builder.accepts(tmp_path) == "its Dockerfile needs BuildKit: line 2 uses RUN --mount"


def test_what_needs_buildkit_is_refused_even_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nRUN --mount=type=cache,target=/c true\n")
    with pytest.raises(BuildFailed, match="'buildx'"):
        DockerBuilder().build(request_for(tmp_path), FakeRegistry(), lambda _line: None)


def test_an_engine_that_is_away_is_an_outside_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setattr(docker_builders, "_STARTS", Patience(attempts=1))
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    expected = "engine at tcp://127.0.0.1:1 cannot be used: Connection refused\n    fix: .*DOCKER_HOST"
    with pytest.raises(Unreachable, match=expected):
        DockerBuilder().build(request_for(tmp_path), FakeRegistry(), lambda _line: None)


def test_an_engine_that_starts_with_the_job_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def connect(timeout: float) -> None:
        asked.append(timeout)
        raise DockerException("refused") if len(asked) < 3 else OutsideError("here")

    monkeypatch.setenv("DOCKER_HOST", "tcp://docker:2375")
    monkeypatch.setattr(docker_builders, "connect", connect)
    monkeypatch.setattr(docker_builders, "_STARTS", Patience(first_wait=0.001))
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(OutsideError, match="here"):
        DockerBuilder().build(request_for(tmp_path), FakeRegistry(), lambda _line: None)
    assert len(asked) == 3


# The stream of a build


def test_the_image_is_what_the_engine_says_last() -> None:
    lines: list[str] = []
    events = [
        {"stream": "Step 1/2 : FROM scratch\n"},
        {"aux": {"ID": "sha256:first"}},
        {"stream": "\n"},
        {"status": "Pulling from library/python", "id": "3.12"},
        {"stream": "Successfully built sha256:in-a-line\nand more\n"},
        {"stream": "one li"},
        {"stream": "ne\nwithout"},
        {"aux": {"ID": "sha256:last"}},
        {"stream": " an end"},
    ]
    assert read_build(events, lines.append) == "sha256:last"
    assert lines == [
        "Step 1/2 : FROM scratch",
        "Pulling from library/python",
        "Successfully built sha256:in-a-line",
        "and more",
        "one line",
        "without an end",
    ]


@pytest.mark.parametrize(
    "event",
    [
        {"errorDetail": {"code": 1, "message": "returned a non-zero code: 1"}, "error": "short"},
        {"error": "returned a non-zero code: 1"},
    ],
)
def test_an_error_in_the_stream_fails_the_build(event: dict) -> None:
    with pytest.raises(BuildFailed, match="returned a non-zero code: 1"):
        read_build([{"aux": {"ID": "sha256:stage"}}, event, {"aux": {"ID": "sha256:x"}}], lambda _line: None)


def test_a_stream_that_ends_early_is_no_success() -> None:
    with pytest.raises(OutsideError, match="ended before"):
        read_build([{"stream": "Successfully built 123"}], lambda _line: None)


# The context


def test_the_engine_gets_what_was_hashed_and_the_dockerfile(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "a.py").write_text("A = 1\n")
    (tmp_path / "secret.env").write_text("x")
    (tmp_path / ".dockerignore").write_text("*.env\nDockerfile\n")
    name, blocks = engine_context(request_for(tmp_path))
    with tarfile.open(fileobj=io.BytesIO(b"".join(blocks))) as archive:
        assert archive.getnames() == [".dockerfile.pipegraft", ".dockerignore", "a.py"]
        held = archive.extractfile(".dockerignore").read().decode()
        assert archive.extractfile(name).read() == b"FROM scratch\n"
    assert held.split() == [".dockerignore", name]
    (tmp_path / ".dockerignore").write_text("*.env\n")
    name, blocks = engine_context(request_for(tmp_path))
    with tarfile.open(fileobj=io.BytesIO(b"".join(blocks))) as archive:
        assert (name, archive.getnames()) == ("Dockerfile", ["Dockerfile", "a.py"])


# What the engine saves


def saved(layers: list[bytes], config: dict | None = None) -> io.BufferedRandom:
    out = io.BytesIO()
    diff_ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    described = {"rootfs": {"diff_ids": diff_ids}, **(config or {})}
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    files = dict(zip(names, layers, strict=True))
    files["config.json"] = json.dumps(described).encode()
    files["manifest.json"] = json.dumps([{"Config": "config.json", "Layers": names}]).encode()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            first = next((n for n in names if n < name and files[n] == content), None)
            if name in names and first:
                info.type, info.linkname, info.size = tarfile.SYMTYPE, f"../{first}", 0
            archive.addfile(info, io.BytesIO(content))
    return out


def push(tmp_path: Path, archive: io.BytesIO, base: Base | None = None) -> FakeRegistry:
    path = tmp_path / "saved.tar"
    path.write_bytes(archive.getvalue())
    registry = FakeRegistry()
    request = BuildRequest("web", tmp_path, (), "web", ("ih-1", "main"))
    pushed = push_saved(path, request, registry, base, lambda _line: None)
    assert registry.find("web", "ih-1") == registry.find("web", "main") == pushed
    return registry


def layers_of(registry: FakeRegistry) -> list[tuple[str, bytes]]:
    manifest = json.loads(registry.manifests["web", "ih-1"][0])
    return [(one["mediaType"], registry.blobs["web", one["digest"]]) for one in manifest["layers"]]


def test_layers_are_pushed_as_they_are(tmp_path: Path) -> None:
    registry = push(tmp_path, saved([b"one", b"\x1f\x8bcompressed", b"one"]))
    assert layers_of(registry) == [(LAYER, b"one"), (LAYER_GZIP, b"\x1f\x8bcompressed"), (LAYER, b"one")]


def test_layers_of_the_base_are_taken_from_its_registry(tmp_path: Path) -> None:
    elsewhere = FakeRegistry()
    blob, source = blob_of(b"compressed one", LAYER_GZIP)
    elsewhere.push_blob("python", blob, source)
    diff_id = f"sha256:{hashlib.sha256(b'one').hexdigest()}"
    base = Base(BaseImage(elsewhere, "python", "sha256:0"), (blob,), {"rootfs": {"diff_ids": [diff_id]}})
    assert layers_of(push(tmp_path, saved([b"one", b"two"]), base)) == [
        (LAYER_GZIP, b"compressed one"),
        (LAYER, b"two"),
    ]
    assert layers_of(push(tmp_path, saved([b"other", b"two"]), base))[0] == (LAYER, b"other")


@pytest.mark.parametrize("files", [{}, {"manifest.json": b"[]"}, {"manifest.json": b"{"}])
def test_an_archive_without_an_image_is_said(tmp_path: Path, files: dict[str, bytes]) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    with pytest.raises(OutsideError, match=r"expected (an image|'manifest\.json')"):
        push(tmp_path, out)


def test_a_base_that_cannot_be_read_is_pushed_with_the_rest() -> None:
    """The program that builds may reach a registry that this job does not, or a mirror of it."""
    lines: list[str] = []
    base = BaseImage(FakeRegistry(), "python", f"sha256:{'0' * 64}")
    request = BuildRequest("web", Path(), (), "web", (), base=base)
    assert base_of(request, lines.append) is None
    assert lines[0].startswith("the layers of the base image are pushed too")
    assert base_of(replace(request, base=None), lines.append) is None
