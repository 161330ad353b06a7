"""Images with real registries, independent readers and a container engine."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from harness import need, run
from image_servers import (
    RunningRegistry,
    docker_with_buildx,
    running_buildkit,
    running_engine,
    running_registry,
)

from pipegraft.core.errors import AccessDenied, BuildFailed, UsageError
from pipegraft.images.adapters.docker import BuildxBuilder, DockerBuilder
from pipegraft.images.adapters.layer import LayerBuilder
from pipegraft.images.adapters.registry import LayoutRegistry
from pipegraft.images.adapters.registry.endpoint import Endpoint
from pipegraft.images.adapters.registry.http import HttpRegistry
from pipegraft.images.build_context import read_context
from pipegraft.images.hooks import BuildExtras, BuildRequest
from pipegraft.images.layers import unpack
from pipegraft.images.ports import Descriptor, Registry
from pipegraft.testing.images_suite import BuilderSuite, RegistrySuite

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module", params=["plain", "secured"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningRegistry]:
    with running_registry(
        tmp_path_factory.mktemp("registry"), secured=request.param == "secured"
    ) as registry:
        yield registry


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    with running_engine() as address:
        yield address


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid4().hex}"


class TestDockerRegistry(RegistrySuite):
    @pytest.fixture
    def registry(self, server: RunningRegistry, prefix: str) -> HttpRegistry:
        return HttpRegistry(server.endpoint, prefix)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A component that runs by itself: a shell and a script."""
    need("busybox")
    folder = tmp_path / "web"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (folder / "bin/busybox").chmod(0o755)
    (folder / "bin/sh").symlink_to("busybox")
    (folder / "greeting").write_text("hello from the image\n")
    return folder


def build(context: Path, registry: Registry) -> Descriptor:
    request = BuildRequest(
        "web",
        context,
        read_context(context).entries,
        "web",
        ("ih-1", "v1"),
        "/app",
        ("/app/bin/busybox", "cat", "greeting"),
    )
    return LayerBuilder().build(request, registry, lambda _line: None)


def test_skopeo_and_umoci_read_what_was_pushed(
    server: RunningRegistry, prefix: str, context: Path, tmp_path: Path
) -> None:
    need("skopeo", "umoci")
    pushed = build(context, HttpRegistry(server.endpoint, prefix))
    source = f"docker://{server.name}/{prefix}/web:v1"
    assert json.loads(run("skopeo", "inspect", *server.skopeo, source))["Digest"] == pushed.digest
    copying = [option.replace("--", "--src-", 1) for option in server.skopeo]
    run("skopeo", "copy", *copying, source, f"oci:{tmp_path}/copy:v1")
    run("umoci", "unpack", "--rootless", "--image", f"{tmp_path}/copy:v1", tmp_path / "bundle")
    assert (tmp_path / "bundle/rootfs/app/greeting").read_text() == "hello from the image\n"


def test_skopeo_and_umoci_read_a_layout(context: Path, tmp_path: Path) -> None:
    need("skopeo", "umoci")
    pushed = build(context, LayoutRegistry(tmp_path / "images"))
    found = json.loads(run("skopeo", "inspect", f"oci:{tmp_path}/images/web:v1"))
    assert found["Digest"] == pushed.digest
    run("umoci", "unpack", "--rootless", "--image", f"{tmp_path}/images/web:v1", tmp_path / "bundle")
    assert (tmp_path / "bundle/rootfs/app/greeting").read_text() == "hello from the image\n"


def test_we_unpack_what_we_pushed(
    server: RunningRegistry, prefix: str, context: Path, tmp_path: Path
) -> None:
    registry = HttpRegistry(server.endpoint, prefix)
    pushed = build(context, registry)
    unpack(registry, "web", pushed.digest, tmp_path / "unpacked")
    assert (tmp_path / "unpacked/app/greeting").read_text() == "hello from the image\n"


def test_a_wrong_password_and_an_unknown_authority_are_said(tmp_path: Path) -> None:
    with running_registry(tmp_path, secured=True) as server:
        anonymous = Endpoint(server.name, ("https",), ca=server.endpoint.ca)
        with pytest.raises(AccessDenied, match="docker login"):
            HttpRegistry(anonymous).find("web", "v1")
        stranger = Endpoint(server.name, ("https",))
        with pytest.raises(UsageError, match="PIPEGRAFT_REGISTRY_CA"):
            HttpRegistry(stranger).find("web", "v1")


def test_an_engine_runs_what_was_pushed(engine: str, context: Path, prefix: str, tmp_path: Path) -> None:
    need("docker")
    with running_registry(tmp_path / "registry") as server:
        build(context, HttpRegistry(server.endpoint, prefix))
        image = f"{server.name}/{prefix}/web:v1"
        run("docker", "--host", engine, "pull", "--quiet", image)
        assert (
            run("docker", "--host", engine, "run", "--rm", "--network=none", image)
            == "hello from the image\n"
        )


# A Dockerfile, built by an engine


@pytest.fixture
def dockerfile_context(context: Path, engine: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_HOST", engine)
    (context / "Dockerfile").write_text(
        "FROM scratch\n"
        "COPY bin /bin\n"
        "COPY greeting /\n"
        'RUN ["/bin/busybox", "cp", "/greeting", "/copied"]\n'
        'CMD ["/bin/busybox", "cat", "/copied"]\n'
    )
    return context


class TestDockerBuilder(BuilderSuite):
    @pytest.fixture
    def builder(self) -> DockerBuilder:
        return DockerBuilder()

    @pytest.fixture
    def registry(self, tmp_path: Path) -> LayoutRegistry:
        return LayoutRegistry(tmp_path / "images")

    @pytest.fixture
    def context(self, dockerfile_context: Path) -> Path:
        return dockerfile_context


def test_a_dockerfile_is_built_pushed_pulled_and_run(
    dockerfile_context: Path, engine: str, server: RunningRegistry, prefix: str, tmp_path: Path
) -> None:
    need("docker", "skopeo")
    registry = HttpRegistry(server.endpoint, prefix)
    request = BuildRequest(
        "web", dockerfile_context, read_context(dockerfile_context).entries, "web", ("v1",)
    )
    lines: list[str] = []
    pushed = DockerBuilder().build(request, registry, lines.append)
    assert any(line.startswith("Step 4/5") for line in lines)
    source = f"docker://{server.name}/{prefix}/web:v1"
    assert json.loads(run("skopeo", "inspect", *server.skopeo, source))["Digest"] == pushed.digest
    archive = tmp_path / "image.tar"
    copying = [option.replace("--", "--src-", 1) for option in server.skopeo]
    run("skopeo", "copy", *copying, source, f"docker-archive:{archive}:web:v1")
    run("docker", "--host", engine, "load", "--input", archive)
    assert (
        run("docker", "--host", engine, "run", "--rm", "--network=none", "web:v1") == "hello from the image\n"
    )


@pytest.mark.parametrize(
    "ignored",
    [
        b"*.txt\n# *.env\n  .env  \n",
        b"\xef\xbb\xbf/a/\r\n*.txt\r\n",
        b"*\n!a/b/\nc\n!**\n*.txt\n",
        b"**/b\n!a/b/c.txt\n",
        b"a/**\n!a/x\n./.env\nd//e\n",
        b"?\n[^.]*\n!x[!-y]z\n",
        b"*/*\n**/.*\n",
        b"a\rb\n",
    ],
)
def test_what_is_ignored_is_what_docker_ignores(engine: str, tmp_path: Path, ignored: bytes) -> None:
    need("docker")
    for name in ("a/b/c.txt", "a/b/d", "a/x", "d/e", "x y/z", "b.txt", ".env", "d/.env", "c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /all/\n")
    (tmp_path / ".dockerignore").write_bytes(ignored)
    docker = ["docker", "--host", engine]
    # Without BuildKit: then the command itself leaves out what is ignored, whatever the engine is.
    image = run(*docker, "build", "--quiet", tmp_path, DOCKER_BUILDKIT="0").strip()
    container = run(*docker, "create", "--network=none", image, "nothing").strip()
    archive = subprocess.run([*docker, "cp", f"{container}:/all", "-"], capture_output=True, check=True)
    run(*docker, "rm", container)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        theirs = {member.name.removeprefix("all/") for member in tar if member.isfile()}
    ours = {entry.path for entry in read_context(tmp_path).entries if entry.kind == "file"}
    assert ours == theirs - {".dockerignore"}


def test_an_ignored_dockerfile_is_no_part_of_what_the_engine_builds(
    engine: str, dockerfile_context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine)
    (dockerfile_context / "Dockerfile").write_text("FROM scratch\nCOPY . /all\n")
    (dockerfile_context / ".dockerignore").write_text("Docker*\n")
    entries = read_context(dockerfile_context).entries
    registry = LayoutRegistry(tmp_path / "images")
    request = BuildRequest("web", dockerfile_context, entries, "web", ("v1",))
    image = DockerBuilder().build(request, registry, lambda _line: None)
    unpack(registry, "web", image.digest, tmp_path / "unpacked")
    root = tmp_path / "unpacked/all"
    assert {path.relative_to(root).as_posix() for path in root.rglob("*")} == {one.path for one in entries}


@pytest.mark.parametrize(
    ("dockerfile", "said"),
    [
        ('FROM scratch\nCOPY bin /bin\nRUN ["/bin/busybox", "false"]\n', "non-zero code: 1"),
        ("FROM scratch\nCOPY missing /\n", "missing"),
        ("FORM scratch\n", "FORM"),
    ],
)
def test_a_failed_build_says_why(
    dockerfile_context: Path, dockerfile: str, said: str, tmp_path: Path
) -> None:
    (dockerfile_context / "Dockerfile").write_text(dockerfile)
    request = BuildRequest(
        "web", dockerfile_context, read_context(dockerfile_context).entries, "web", ("v1",)
    )
    registry = LayoutRegistry(tmp_path / "images")
    with pytest.raises(BuildFailed, match=said):
        DockerBuilder().build(request, registry, lambda _line: None)
    assert registry.find("web", "v1") is None


@pytest.fixture
def buildkit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first docker command that builds with BuildKit: one of before 23, or one with the buildx plugin."""
    for folder in [*os.environ["PATH"].split(os.pathsep), "/usr/bin"]:
        docker = Path(folder) / "docker"
        if docker.exists():
            version = run(docker, "--version").split()[2]
            plugin = subprocess.run([docker, "buildx", "version"], capture_output=True, check=False)
            if int(version.split(".")[0]) < 23 or plugin.returncode == 0:
                monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
                return
    pytest.fail("there is no docker command that builds with BuildKit (tests/e2e/install installs one)")


@pytest.mark.usefixtures("buildkit")
class TestBuildxBuilder(BuilderSuite):
    @pytest.fixture
    def builder(self) -> BuildxBuilder:
        return BuildxBuilder()

    @pytest.fixture
    def registry(self, tmp_path: Path) -> LayoutRegistry:
        return LayoutRegistry(tmp_path / "images")

    @pytest.fixture
    def context(self, dockerfile_context: Path) -> Path:
        need("docker")
        (dockerfile_context / "Dockerfile").write_text("FROM scratch\nCOPY --chmod=755 bin /bin\n")
        return dockerfile_context


def test_a_registry_keeps_the_cache_of_a_builder_that_needs_no_engine(
    context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("docker")
    monkeypatch.setenv("DOCKER_CONFIG", str(docker_with_buildx(tmp_path / "docker")))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine")
    (context / "Dockerfile").write_text(
        "FROM scratch\nCOPY bin /bin\n"
        'RUN ["/bin/busybox", "sh", "-c", "/bin/busybox cat /proc/sys/kernel/random/uuid >/drawn"]\n'
    )
    registry = LayoutRegistry(tmp_path / "images")
    with running_registry(tmp_path / "registry") as server, running_buildkit(tmp_path) as address:
        run("docker", "buildx", "create", "--name", "apart", "--driver", "remote", address)
        monkeypatch.setenv("BUILDX_BUILDER", "apart")
        cache = f"type=registry,ref={server.name}/cache:web"

        def built() -> bytes:
            request = BuildRequest(
                "web", context, read_context(context).entries, "web", ("v1",),
                extras=BuildExtras(cache_from=(cache,), cache_to=(f"{cache},mode=max",)),
            )  # fmt: skip
            image = BuildxBuilder().build(request, registry, lambda _line: None)
            folder = tmp_path / uuid4().hex
            unpack(registry, "web", image.digest, folder)
            return (folder / "drawn").read_bytes()

        first = built()
        run("docker", "buildx", "prune", "--all", "--force")
        assert built() == first  # drawn once: what the builder forgot, the registry has kept
        run("docker", "buildx", "prune", "--all", "--force")
        (context / "bin/another").write_text("changed")
        assert built() != first


def test_the_engines_own_builder_writes_no_such_cache(
    dockerfile_context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("docker")
    before_buildx = int(run("docker", "--version").split()[2].split(".")[0]) < 23
    monkeypatch.setenv("DOCKER_CONFIG", str(docker_with_buildx(tmp_path / "docker")))
    request = BuildRequest(
        "web", dockerfile_context, read_context(dockerfile_context).entries, "web", ("v1",),
        extras=BuildExtras(cache_to=("type=registry,ref=127.0.0.1:1/cache:web",)),
    )  # fmt: skip
    said = "without its buildx plugin" if before_buildx else "cannot write such a cache"
    with pytest.raises(UsageError, match=said):
        BuildxBuilder().build(request, LayoutRegistry(tmp_path / "images"), lambda _line: None)


@pytest.mark.usefixtures("buildkit")
def test_a_failed_buildkit_build_says_why(dockerfile_context: Path, tmp_path: Path) -> None:
    need("docker")
    (dockerfile_context / "Dockerfile").write_text("FROM scratch\nCOPY --chmod=755 missing /bin\n")
    request = BuildRequest(
        "web", dockerfile_context, read_context(dockerfile_context).entries, "web", ("v1",)
    )
    registry = LayoutRegistry(tmp_path / "images")
    with pytest.raises(BuildFailed, match="exit code"):
        BuildxBuilder().build(request, registry, lambda _line: None)
    assert registry.find("web", "v1") is None


@pytest.mark.usefixtures("buildkit")
def test_a_build_secret_is_there_while_it_is_needed_and_nowhere_else(
    context: Path, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine)
    monkeypatch.setenv("SHOP_TOKEN", "s3cr3t-value")
    program = tmp_path / "docker"  # the engine of these tests has no bridge for RUN to use
    program.write_text(
        f'#!/bin/sh\nwhat=$1; shift\n[ "$what" != build ] || set -- --network=host "$@"\n'
        f'exec {shutil.which("docker")} "$what" "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (context / "Dockerfile").write_text(
        "FROM scratch\nCOPY . /\n"
        "RUN --mount=type=secret,id=token cat /run/secrets/token; sha256sum /run/secrets/token >/sum\n"
    )
    request = BuildRequest(
        "web", context, read_context(context).entries, "web", ("v1",),
        extras=BuildExtras({"token": "SHOP_TOKEN"}),
    )  # fmt: skip
    registry, lines = LayoutRegistry(tmp_path / "images"), list[str]()
    image = BuildxBuilder().build(request, registry, lines.append)
    assert "s3cr3t" not in "\n".join(lines)
    held = b"".join(path.read_bytes() for path in (tmp_path / "images").rglob("*") if path.is_file())
    assert b"s3cr3t" not in held
    unpack(registry, "web", image.digest, tmp_path / "unpacked")
    digest = hashlib.sha256(b"s3cr3t-value").hexdigest()
    assert (tmp_path / "unpacked/sum").read_text().startswith(digest)
