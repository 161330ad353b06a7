"""The layer builder: what the image holds, and that its digest follows from the content alone."""

from __future__ import annotations

import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from pipegraft.core.errors import BuildFailed, OutsideError
from pipegraft.images.adapters.layer import LayerBuilder
from pipegraft.images.build_context import read_context
from pipegraft.images.documents import (
    CONFIG,
    INDEX,
    MANIFEST,
    canonical_json,
    image_index,
    image_manifest,
    read_image,
)
from pipegraft.images.hooks import BaseImage, BuildRequest
from pipegraft.images.ports import Descriptor, FakeRegistry
from pipegraft.testing.images_suite import BuilderSuite, blob_of

FILES = {"main.py": "print('hello')\n", "lib/a.py": "A = 1\n", "lib/b.py": "B = 2\n", "lib-old": "x"}
LONG = "d" * 90 + "/" + "n" * 120


class TestLayerBuilder(BuilderSuite):
    @pytest.fixture
    def builder(self) -> LayerBuilder:
        return LayerBuilder()

    @pytest.fixture
    def registry(self) -> FakeRegistry:
        return FakeRegistry()

    @pytest.fixture
    def context(self, tmp_path: Path) -> Path:
        return make_component(tmp_path / "web")


def make_component(folder: Path, files: dict[str, str] | None = None) -> Path:
    for name, text in (files or FILES).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("lib/a.py")
    (folder / "main.py").chmod(0o755)
    return folder


def build(context: Path, **changes: object) -> tuple[Descriptor, FakeRegistry]:
    registry = FakeRegistry()
    values = {"target": "/app", "command": ("python3", "main.py"), **changes}
    request = BuildRequest("web", context, read_context(context).entries, "web", ("ih-1",), **values)
    return LayerBuilder().build(request, registry, lambda _line: None), registry


def manifest_of(registry: FakeRegistry) -> dict:
    return json.loads(registry.manifests["web", "ih-1"][0])


def members(registry: FakeRegistry, tmp_path: Path) -> dict[str, tarfile.TarInfo]:
    found: dict[str, tarfile.TarInfo] = {}
    for layer in manifest_of(registry)["layers"]:
        path = tmp_path / "layer.tar"
        path.write_bytes(registry.blobs["web", layer["digest"]])
        with tarfile.open(path, "r:") as archive:
            found |= {member.name: member for member in archive}
    return found


def test_the_digest_is_pinned(tmp_path: Path) -> None:
    # A change of this value means that every image of every user is built again: raise the version.
    built, _ = build(make_component(tmp_path / "web"))
    assert built.digest == "sha256:c032564587834a97f197b1283798ca17ff8b615dde5237efd1f026b6912ca86b"


def test_packs_the_folder_below_the_target_with_fixed_modes_and_owner(tmp_path: Path) -> None:
    _, registry = build(make_component(tmp_path / "web"))
    found = members(registry, tmp_path)
    assert [name.removeprefix("app") for name in found] == [
        "", "/empty", "/lib", "/lib-old", "/lib/a.py", "/lib/b.py", "/link", "/main.py",
    ]  # fmt: skip
    assert {name: oct(member.mode) for name, member in found.items() if member.isfile()} == {
        "app/lib-old": "0o644", "app/lib/a.py": "0o644", "app/lib/b.py": "0o644", "app/main.py": "0o755",
    }  # fmt: skip
    assert found["app/link"].linkname == "lib/a.py"
    assert found["app/empty"].mode == 0o755
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in found.values()} == {(0, 0, 0, "", "")}


def test_the_command_runs_in_the_target(tmp_path: Path) -> None:
    _, registry = build(make_component(tmp_path / "web"))
    config = json.loads(registry.blobs["web", manifest_of(registry)["config"]["digest"]])
    assert config["config"] == {"Entrypoint": ["python3", "main.py"], "WorkingDir": "/app"}
    assert (config["os"], config["architecture"]) == ("linux", "amd64")
    assert config["created"] == "1970-01-01T00:00:00Z"
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest_of(registry)["layers"]]


def test_a_data_image_has_its_content_at_the_root_and_runs_nothing(tmp_path: Path) -> None:
    _, registry = build(make_component(tmp_path / "web"), target="/", command=())
    assert "main.py" in members(registry, tmp_path)
    config = json.loads(registry.blobs["web", manifest_of(registry)["config"]["digest"]])
    assert config["config"] == {}


def test_folder_umask_mtime_and_file_order_leave_no_trace(tmp_path: Path) -> None:
    first, _ = build(make_component(tmp_path / "one"))
    mask = os.umask(0o077)
    try:
        other = make_component(tmp_path / "deeper/two", dict(reversed(FILES.items())))
    finally:
        os.umask(mask)
    for path in [other, *other.rglob("*")]:
        os.utime(path, (12345, 12345), follow_symlinks=False)
        if os.geteuid() == 0:
            os.chown(path, 1234, 4321, follow_symlinks=False)
    assert build(other)[0] == first


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "lib/a.py").write_text("A = 2\n"),
        lambda folder: (folder / "lib/a.py").chmod(0o755),
        lambda folder: (folder / "lib/a.py").rename(folder / "lib/c.py"),
        lambda folder: (folder / "empty").rmdir(),
        lambda folder: ((folder / "link").unlink(), (folder / "link").symlink_to("lib/b.py")),
    ],
    ids=["content", "mode", "name", "folder", "link"],
)
def test_every_change_of_the_content_changes_the_digest(tmp_path: Path, change) -> None:
    before, _ = build(make_component(tmp_path / "web"))
    change(tmp_path / "web")
    assert build(tmp_path / "web")[0] != before


def test_long_and_foreign_names_survive(tmp_path: Path) -> None:
    names = {LONG: "long", "größe/日本.txt": "foreign"}
    _, registry = build(make_component(tmp_path / "web", {**FILES, **names}))
    assert {f"app/{name}" for name in names} <= set(members(registry, tmp_path))


def test_a_plain_name_needs_no_pax_header(tmp_path: Path) -> None:
    _, registry = build(make_component(tmp_path / "web"))
    assert not any(b"PaxHeader" in content for content in registry.blobs.values())


def test_a_large_component_is_divided_and_one_change_sends_one_shard(tmp_path: Path) -> None:
    folder = make_component(tmp_path / "web")
    for number in range(40):
        (folder / f"data-{number}").write_bytes(bytes([number]) * (1 << 20))
    registry = FakeRegistry()
    request = BuildRequest("web", folder, read_context(folder).entries, "web", ("ih-1",))
    LayerBuilder().build(request, registry, lambda _line: None)
    before = set(registry.blobs)
    assert len(manifest_of(registry)["layers"]) == 14
    (folder / "data-7").write_bytes(b"changed")
    request = BuildRequest("web", folder, read_context(folder).entries, "web", ("ih-1",))
    LayerBuilder().build(request, registry, lambda _line: None)
    fresh = [len(registry.blobs[key]) for key in set(registry.blobs) - before]
    assert len(fresh) == 2  # one layer and the configuration
    assert sum(fresh) < 20 << 20


def test_an_empty_folder_is_an_image_with_an_empty_layer(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    _, registry = build(tmp_path / "web", command=())
    assert len(manifest_of(registry)["layers"]) == 1


@pytest.mark.parametrize("text", ["B = 22\n", "B\n", ""])
def test_a_file_that_changes_after_it_was_hashed_fails_the_build(tmp_path: Path, text: str) -> None:
    folder = make_component(tmp_path / "web")
    registry = FakeRegistry()
    request = BuildRequest("web", folder, read_context(folder).entries, "web", ("ih-1",))
    (folder / "lib/b.py").write_text(text)
    with pytest.raises(BuildFailed, match=r"lib/b\.py.*changed"):
        LayerBuilder().build(request, registry, lambda _line: None)
    assert registry.manifests == {}


def test_a_file_that_disappears_fails_the_build(tmp_path: Path) -> None:
    folder = make_component(tmp_path / "web")
    request = BuildRequest("web", folder, read_context(folder).entries, "web", ("ih-1",))
    (folder / "lib/b.py").unlink()
    with pytest.raises(BuildFailed, match=r"lib/b\.py.*cannot be read"):
        LayerBuilder().build(request, FakeRegistry(), lambda _line: None)


def test_a_folder_with_a_dockerfile_is_for_another_builder(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    assert LayerBuilder().accepts(tmp_path) == "it has a Dockerfile"


# On a base image


def make_base(registry: FakeRegistry, platform: str = "linux/amd64", **config: object) -> str:
    """Push an image with one layer and some configuration."""
    layer, source = blob_of(b"base layer")
    registry.push_blob("python", layer, source)
    system, architecture = platform.split("/")
    content = canonical_json(
        {
            "architecture": architecture,
            "os": system,
            "config": {"Env": ["PATH=/bin"], "Cmd": ["python3"], "User": "app", **config},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "d" * 64]},
        }
    )
    described, config_source = blob_of(content, CONFIG)
    registry.push_blob("python", described, config_source)
    manifest = image_manifest(described, [layer])
    return registry.push_manifest("python", "3.12", manifest.content, MANIFEST).digest


def build_on(tmp_path: Path, base: BaseImage, **changes: object) -> FakeRegistry:
    context = tmp_path / "web"
    return build(context if context.exists() else make_component(context), base=base, **changes)[1]


def test_layers_and_configuration_of_the_base_are_kept(tmp_path: Path) -> None:
    elsewhere = FakeRegistry()
    digest = make_base(elsewhere)
    registry = build_on(tmp_path, BaseImage(elsewhere, "python", digest))
    manifest = manifest_of(registry)
    assert registry.blobs["web", manifest["layers"][0]["digest"]] == b"base layer"
    config = json.loads(registry.blobs["web", manifest["config"]["digest"]])
    assert config["rootfs"]["diff_ids"] == ["sha256:" + "d" * 64, manifest["layers"][1]["digest"]]
    assert config["config"] == {
        "Env": ["PATH=/bin"], "User": "app", "Entrypoint": ["python3", "main.py"], "WorkingDir": "/app",
    }  # fmt: skip


def test_without_a_command_the_base_says_what_runs(tmp_path: Path) -> None:
    elsewhere = FakeRegistry()
    registry = build_on(tmp_path, BaseImage(elsewhere, "python", make_base(elsewhere)), command=())
    config = json.loads(registry.blobs["web", manifest_of(registry)["config"]["digest"]])
    assert config["config"]["Cmd"] == ["python3"]


def test_a_base_of_the_same_server_is_mounted_not_read(tmp_path: Path) -> None:
    registry = FakeRegistry()
    digest = make_base(registry)
    request_base = BaseImage(registry, "python", digest, mount_from="python")
    layer = blob_of(b"base layer")[0].digest

    class NeverReadsLayers(FakeRegistry):
        def open(self, repository: str, digest: str, *, manifest: bool = False):
            assert digest != layer
            return super().open(repository, digest, manifest=manifest)

    watched = NeverReadsLayers()
    watched.blobs, watched.manifests = registry.blobs, registry.manifests
    context = make_component(tmp_path / "web")
    request = BuildRequest(
        "web",
        context,
        read_context(context).entries,
        "web",
        ("ih-1",),
        base=replace(request_base, registry=watched),
    )
    LayerBuilder().build(request, watched, lambda _line: None)
    assert ("web", layer) in watched.blobs


def test_the_platform_is_chosen_from_an_index(tmp_path: Path) -> None:
    elsewhere = FakeRegistry()
    platforms = {name: make_base(elsewhere, name) for name in ("linux/arm64", "linux/amd64")}
    index = canonical_json(
        {
            "schemaVersion": 2,
            "manifests": [
                {
                    "mediaType": MANIFEST,
                    "digest": digest,
                    "size": 1,
                    "platform": dict(zip(("os", "architecture"), name.split("/"), strict=True)),
                }
                for name, digest in platforms.items()
            ],
        }
    )
    digest = elsewhere.push_manifest("python", "all", index, INDEX).digest
    base = BaseImage(elsewhere, "python", digest)
    registry = build_on(tmp_path, base, platform="linux/arm64")
    config = json.loads(registry.blobs["web", manifest_of(registry)["config"]["digest"]])
    assert config["architecture"] == "arm64"
    with pytest.raises(OutsideError, match="linux/amd64, linux/arm64"):
        build_on(tmp_path, base, platform="linux/riscv64")


def test_a_base_that_is_no_image_is_said(tmp_path: Path) -> None:
    elsewhere = FakeRegistry()
    digest = elsewhere.push_manifest("python", "3.12", b'{"config": {}, "layers": []}', MANIFEST).digest
    with pytest.raises(OutsideError, match="expected an image manifest"):
        build_on(tmp_path, BaseImage(elsewhere, "python", digest))


@pytest.mark.parametrize(
    ("held", "asked", "chosen"),
    [
        (("linux/arm/v6", "linux/arm/v7"), "linux/arm/v7", "linux/arm/v7"),
        (("linux/arm/v6", "linux/arm/v7"), "linux/arm/v6", "linux/arm/v6"),
        (("linux/arm/v6", "linux/arm/v7"), "linux/arm", "linux/arm/v7"),
        (("linux/amd64", "linux/arm64/v8"), "linux/arm64", "linux/arm64/v8"),
        (("linux/amd64", "linux/arm64"), "linux/arm64/v8", "linux/arm64"),
        (("linux/amd64", "linux/arm64"), "linux/arm/v7", None),
        (("linux/arm/v6",), "linux/arm/v7", None),
    ],
)
def test_a_variant_of_an_architecture_is_built_and_chosen(
    tmp_path: Path, held: tuple[str, ...], asked: str, chosen: str | None
) -> None:
    context = make_component(tmp_path / "web")
    images: dict[str, Descriptor] = {}
    registry = FakeRegistry()
    request = BuildRequest("web", context, read_context(context).entries, "web", ("v1",))
    for platform in held:
        images[platform] = LayerBuilder().build(replace(request, platform=platform), registry, print)
        config = read_image(registry, "web", images[platform].digest).config
        with registry.open("web", config.digest) as stream:
            parts = json.load(stream)
        assert "/".join(parts[key] for key in ("os", "architecture", "variant") if key in parts) == platform
    index = image_index(images)
    registry.push_manifest("web", "all", index.content, INDEX)
    if chosen is None:
        with pytest.raises(OutsideError, match=f"to be an image for {asked}, found an index of {held[0]}"):
            read_image(registry, "web", index.descriptor.digest, asked)
        return
    found = read_image(registry, "web", index.descriptor.digest, asked)
    assert found == read_image(registry, "web", images[chosen].digest)


def test_an_image_of_dockers_oldest_format_is_named() -> None:
    registry = FakeRegistry()
    old = b'{"schemaVersion": 1, "fsLayers": [], "history": []}'
    image = registry.push_manifest(
        "web", "v1", old, "application/vnd.docker.distribution.manifest.v1+prettyjws"
    )
    with pytest.raises(OutsideError, match="in Docker's schema 1"):
        read_image(registry, "web", image.digest)
