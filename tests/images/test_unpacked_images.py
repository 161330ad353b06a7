from __future__ import annotations

from pathlib import Path

import pytest

from pipegraft.core.errors import Unreachable, UsageError
from pipegraft.engine.adapters.supplies import UnpackedImages
from pipegraft.images.adapters.layer import LayerBuilder
from pipegraft.images.build_context import read_context
from pipegraft.images.hooks import BuildRequest
from pipegraft.images.ports import FakeRegistry


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def images(tmp_path: Path, registry: FakeRegistry) -> UnpackedImages:
    return UnpackedImages(tmp_path / "images", lambda _address: registry)


def build(registry: FakeRegistry, folder: Path, text: str) -> str:
    folder.mkdir()
    (folder / "main.py").write_text(text)
    entries = read_context(folder).entries
    request = BuildRequest(
        "web", folder, entries, "web", ("1",), target="/app", command=("python3", "main.py")
    )
    digest = LayerBuilder().build(request, registry, lambda _line: None).digest
    return f"registry.example.com/web@{digest}"


def test_files_and_configuration_come_from_the_image(
    images: UnpackedImages, registry: FakeRegistry, tmp_path: Path
) -> None:
    root, config = images.get(build(registry, tmp_path / "web", "print(1)"))
    assert (root / "app" / "main.py").read_text() == "print(1)"
    assert config["WorkingDir"] == "/app"
    assert "python3" in [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]


def test_what_is_there_is_not_fetched_again(
    images: UnpackedImages, registry: FakeRegistry, tmp_path: Path
) -> None:
    reference = build(registry, tmp_path / "web", "print(1)")
    first = images.get(reference)
    registry.manifests.clear()
    registry.blobs.clear()
    assert images.get(reference) == first


def test_what_is_not_kept_is_removed(images: UnpackedImages, registry: FakeRegistry, tmp_path: Path) -> None:
    old, new = (build(registry, tmp_path / name, name) for name in ("old", "new"))
    gone, stays = images.get(old)[0], images.get(new)[0]
    (tmp_path / "images" / ".left-behind").mkdir()
    assert images.keep([new])
    assert stays.exists()
    assert not gone.exists()
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == [stays.name, f"{stays.name}.json"]


def test_nothing_is_removed_while_an_image_is_fetched(tmp_path: Path, registry: FakeRegistry) -> None:
    reference = build(registry, tmp_path / "web", "print(1)")
    answers: list[bool] = []

    def open_registry(_address: str) -> FakeRegistry:
        answers.append(images.keep([]))
        return registry

    images = UnpackedImages(tmp_path / "images", open_registry)
    assert images.get(reference)[0].exists()
    assert answers == [False]


def test_a_reference_without_a_digest_is_refused(images: UnpackedImages) -> None:
    with pytest.raises(UsageError, match="pinned by digest"):
        images.get("registry.example.com/web:latest")


def test_an_image_that_is_not_there_leaves_nothing_behind(tmp_path: Path) -> None:
    def gone(_address: str) -> FakeRegistry:
        raise Unreachable("no route to host")

    images = UnpackedImages(tmp_path / "images", gone)
    with pytest.raises(Unreachable):
        images.get(f"registry.example.com/web@sha256:{'0' * 64}")
    assert list((tmp_path / "images").iterdir()) == []
