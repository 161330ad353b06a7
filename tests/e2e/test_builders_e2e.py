"""Builders that need no Docker Engine, with the programs themselves: BuildKit and buildah."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from harness import need, run
from image_servers import buildkit_tool, docker_with_buildx, running_buildkit, running_registry

from pipegraft.core.errors import BuildFailed, OutsideError
from pipegraft.images.adapters.daemonless import BuildahBuilder, BuildkitBuilder
from pipegraft.images.adapters.docker import BuildxBuilder
from pipegraft.images.adapters.layer import LayerBuilder
from pipegraft.images.adapters.registry import LayoutRegistry
from pipegraft.images.adapters.registry.http import HttpRegistry
from pipegraft.images.build_context import read_context
from pipegraft.images.documents import INDEX, image_index
from pipegraft.images.hooks import (
    BuildExtras,
    BuildRequest,
    ExtraContext,
    FoundPackages,
    ImageBuilder,
    Package,
)
from pipegraft.images.layers import unpack
from pipegraft.testing.images_suite import BuilderSuite

pytestmark = pytest.mark.e2e

PLATFORMS = ("linux/amd64", "linux/arm64")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    need("busybox")
    folder = tmp_path / "web"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (folder / "bin/busybox").chmod(0o755)
    (folder / "bin/sh").symlink_to("busybox")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY bin /bin\n")
    return folder


@pytest.fixture(scope="module")
def buildkitd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("bk")
    with running_buildkit(folder) as address:
        yield address


@pytest.fixture
def buildkit(buildkitd: str, monkeypatch: pytest.MonkeyPatch) -> BuildkitBuilder:
    monkeypatch.setenv("PATH", f"{buildkit_tool('buildctl').parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("BUILDKIT_HOST", buildkitd)
    return BuildkitBuilder()


@pytest.fixture
def buildx(buildkit: BuildkitBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildxBuilder:
    """With a builder apart from any engine."""
    need("docker")
    monkeypatch.setenv("DOCKER_CONFIG", str(docker_with_buildx(tmp_path / "docker")))
    run("docker", "buildx", "create", "--name", "apart", "--driver", "remote", os.environ["BUILDKIT_HOST"])
    monkeypatch.setenv("BUILDX_BUILDER", "apart")
    return BuildxBuilder()


@pytest.fixture
def buildah(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildahBuilder:
    need("buildah")
    storage = tmp_path / "storage.conf"
    storage.write_text(
        f'[storage]\ndriver = "vfs"\nrunroot = "{tmp_path}/run"\ngraphroot = "{tmp_path}/graph"\n'
    )
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(storage))
    return BuildahBuilder()


@pytest.fixture(params=["buildkit", "buildah"])
def builder(request: pytest.FixtureRequest) -> ImageBuilder:
    found: ImageBuilder = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def registry(tmp_path: Path) -> LayoutRegistry:
    return LayoutRegistry(tmp_path / "images")


class TestBuilders(BuilderSuite):
    @pytest.fixture
    def builder(self, builder: ImageBuilder) -> ImageBuilder:
        return builder

    @pytest.fixture
    def registry(self, registry: LayoutRegistry) -> LayoutRegistry:
        return registry

    @pytest.fixture
    def context(self, context: Path) -> Path:
        return context


def request_for(context: Path, **more: object) -> BuildRequest:
    dockerfile = str(more.get("dockerfile", "Dockerfile"))
    return BuildRequest("web", context, read_context(context, dockerfile).entries, "web", ("v1",), **more)


@pytest.mark.parametrize("builder", ["buildkit", "buildah", "buildx"], indirect=True)
def test_secrets_targets_arguments_and_further_contexts(
    builder: ImageBuilder,
    registry: LayoutRegistry,
    context: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "s3cr3t-value")
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "greeting").write_text("hello\n")
    (context / "prod.Dockerfile").write_text(
        "FROM scratch AS wanted\nARG WORD\nCOPY bin /bin\nCOPY --from=shared greeting /greeting\n"
        'RUN --mount=type=secret,id=token ["/bin/busybox", "sh", "-c",'
        ' "/bin/busybox cat /run/secrets/token; /bin/busybox sha256sum /run/secrets/token >/sum;'
        ' /bin/busybox echo $WORD >/word"]\n'
        "FROM scratch AS other\nCOPY missing /\n"
    )
    lines: list[str] = []
    image = builder.build(
        request_for(
            context,
            dockerfile="prod.Dockerfile",
            stage="wanted",
            build_args={"WORD": "said"},
            extras=BuildExtras(
                {"token": "SHOP_TOKEN"},
                contexts={"shared": ExtraContext(shared, read_context(shared).entries)},
            ),
        ),
        registry,
        lines.append,
    )
    unpack(registry, "web", image.digest, tmp_path / "unpacked")
    assert (tmp_path / "unpacked/greeting").read_text() == "hello\n"
    assert (tmp_path / "unpacked/word").read_text() == "said\n"
    digest = hashlib.sha256(b"s3cr3t-value").hexdigest()
    assert (tmp_path / "unpacked/sum").read_text().startswith(digest)
    assert "s3cr3t" not in "\n".join(lines)
    held = b"".join(path.read_bytes() for path in (tmp_path / "images").rglob("*") if path.is_file())
    assert b"s3cr3t" not in held


def test_a_failed_build_says_why(builder: ImageBuilder, registry: LayoutRegistry, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch\nCOPY missing /\n")
    with pytest.raises(BuildFailed, match="missing"):
        builder.build(request_for(context), registry, lambda _line: None)
    assert registry.find("web", "v1") is None


@pytest.mark.parametrize("builder", ["buildkit", "buildah", "buildx"], indirect=True)
def test_the_image_holds_what_was_hashed(
    builder: ImageBuilder, registry: LayoutRegistry, context: Path, tmp_path: Path
) -> None:
    """An ignored Dockerfile is in no image, and no other ignore file takes anything away."""
    (context / "build").mkdir()
    (context / "build/Dockerfile").write_text("FROM scratch\nCOPY . /all\n")
    (context / "build/Dockerfile.dockerignore").write_text("bin\nbuild/Dockerfile*\n")
    for name in (".dockerignore", ".containerignore", "Dockerfile.dockerignore"):
        (context / name).write_text("kept\n")
    (context / "kept").write_text("x")
    request = request_for(context, dockerfile="build/Dockerfile")
    image = builder.build(request, registry, lambda _line: None)
    unpack(registry, "web", image.digest, tmp_path / "unpacked")
    root = tmp_path / "unpacked/all"
    found = {path.relative_to(root).as_posix() for path in root.rglob("*")}
    assert found == {entry.path for entry in request.entries}
    assert {"kept", "Dockerfile", "build"} <= found


def test_an_index_of_two_platforms_has_the_same_digest_on_two_days(
    buildkit: BuildkitBuilder, buildx: BuildxBuilder, context: Path, tmp_path: Path
) -> None:
    need("skopeo")
    builders = {"buildkit": buildkit, "buildx": buildx, "layer": LayerBuilder()}
    for name, builder in builders.items():
        digests = set()
        for day in (1, 2):
            registry = LayoutRegistry(tmp_path / f"{name}-{day}")
            for path in context.rglob("*"):
                os.utime(path, (day * 86400.0, day * 86400.0), follow_symlinks=False)
            images = {
                platform: builder.build(
                    replace(request_for(context), platform=platform, tags=(platform.replace("/", "-"),)),
                    registry,
                    lambda _line: None,
                )
                for platform in PLATFORMS
            }
            index = image_index(images)
            registry.push_manifest("web", "v1", index.content, INDEX)
            digests.add(index.descriptor.digest)
            place = f"oci:{tmp_path}/{name}-{day}/web:v1"
            read = json.loads(run("skopeo", "inspect", "--raw", place))
            assert [one["platform"]["architecture"] for one in read["manifests"]] == ["amd64", "arm64"]
            arm = json.loads(run("skopeo", "inspect", "--override-arch=arm64", place))
            assert arm["Architecture"] == "arm64"
            if name != "layer" and day == 1:
                run("buildctl", "prune", "--all")
        assert len(digests) == 1, name


SCANNER = """\
#!/bin/sh
[ -e "$BUILDKIT_SCAN_SOURCE/bin/busybox" ] || exit 1
cat > "$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json" <<END
{"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document", "predicate": {
 "spdxVersion": "SPDX-2.3", "name": "sbom", "creationInfo": {"creators": ["Person: x", "Tool: toy-1.0"]},
 "packages": [{"SPDXID": "SPDXRef-1", "name": "busybox", "versionInfo": "1.35", "externalRefs": [{
  "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
  "referenceLocator": "pkg:deb/busybox@1.35"}]},
  {"SPDXID": "SPDXRef-2", "name": "without", "versionInfo": "0"}]}}
END
"""


@pytest.mark.parametrize("builder", ["buildkit", "buildx"], indirect=True)
def test_what_buildkits_own_scanner_finds_is_noted(
    builder: ImageBuilder,
    context: Path,
    registry: LayoutRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By its protocol, with an image of a loopback's registry that answers always the same."""
    unscanned = builder.build(request_for(context), registry, lambda _line: None)
    scanner = tmp_path / "scanner"
    shutil.copytree(context / "bin", scanner / "bin", symlinks=True)
    (scanner / "bin/cat").symlink_to("busybox")
    (scanner / "scan").write_text(SCANNER)
    (scanner / "scan").chmod(0o755)
    found: list[FoundPackages] = []
    with running_registry(tmp_path / "registry") as running:
        entries = read_context(scanner).entries
        image = BuildRequest("scanner", scanner, entries, "scanner", ("latest",), command=("/scan",))
        LayerBuilder().build(image, HttpRegistry(running.endpoint), lambda _line: None)
        monkeypatch.setenv("PIPEGRAFT_BUILDKIT_SCANNER", f"{running.name}/scanner:latest")
        scanned = builder.build(
            request_for(context, note_packages=found.append), registry, lambda _line: None
        )
    assert found == [
        FoundPackages(
            (Package("pkg:deb/busybox@1.35", "busybox", "1.35", ""),), "toy 1.0", "the image's files", True
        )
    ]
    assert scanned == unscanned


def test_a_daemon_elsewhere_lets_in_who_has_a_certificate(
    context: Path, registry: LayoutRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{buildkit_tool('buildctl').parent}{os.pathsep}{os.environ['PATH']}")
    with running_buildkit(tmp_path, secured=True) as address:
        monkeypatch.setenv("BUILDKIT_HOST", address)
        with pytest.raises(OutsideError, match="connection error") as refused:
            BuildkitBuilder().build(request_for(context), registry, print)
        assert "PIPEGRAFT_BUILDKIT_TLS" in refused.value.problem.fix
        monkeypatch.setenv("PIPEGRAFT_BUILDKIT_TLS", str(tmp_path / "tls"))
        image = BuildkitBuilder().build(request_for(context), registry, print)
    unpack(registry, "web", image.digest, tmp_path / "unpacked")
    assert (tmp_path / "unpacked/bin/busybox").exists()


def test_a_daemon_that_lasts_as_long_as_the_build(
    context: Path, registry: LayoutRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{buildkit_tool('buildctl').parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("BUILDKIT_HOST", raising=False)
    flags = "--oci-worker-snapshotter=native --oci-worker-net=host --containerd-worker=false"
    monkeypatch.setenv("BUILDKITD_FLAGS", f"--root={tmp_path}/root {flags}")
    image = BuildkitBuilder().build(request_for(context), registry, lambda _line: None)
    unpack(registry, "web", image.digest, tmp_path / "unpacked")
    assert (tmp_path / "unpacked/bin/busybox").exists()
