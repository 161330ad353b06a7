"""The folder of OCI layouts: what it writes, under concurrency and after kill -9."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from pipegraft.core.errors import OutsideError, UsageError
from pipegraft.images.adapters.registry import LayoutRegistry, open_registry
from pipegraft.testing.images_suite import ReferrersSuite, RegistrySuite, blob_of

_SPAWN = multiprocessing.get_context("spawn")


class TestLayoutRegistry(ReferrersSuite):
    @pytest.fixture
    def registry(self, tmp_path: Path) -> LayoutRegistry:
        return LayoutRegistry(tmp_path / "registry")


def push_many(folder: str, worker: int, count: int) -> None:
    registry = LayoutRegistry(Path(folder))
    for number in range(count):
        RegistrySuite().push_image(registry, f"w{worker}-{number}", b"%d %d" % (worker, number))


def push_until_killed(folder: str) -> None:
    registry = LayoutRegistry(Path(folder))

    def dying():  # a source that ends the process in the middle of the blob
        raise SystemExit(os.kill(os.getpid(), signal.SIGKILL))

    registry.push_blob("web", blob_of(b"x" * 100)[0], dying)


def test_a_relative_folder_counts_from_the_base(tmp_path: Path) -> None:
    registry = open_registry("oci:build/images", tmp_path)
    pushed = RegistrySuite().push_image(registry, "v1", b"one")
    assert LayoutRegistry(tmp_path / "build/images").find("web", "v1") == pushed


def test_writes_one_layout_a_repository(tmp_path: Path) -> None:
    registry = LayoutRegistry(tmp_path)
    pushed = RegistrySuite().push_image(registry, "v1", b"one", repository="shop/web")
    layout = tmp_path / "shop/web"
    assert json.loads((layout / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((layout / "index.json").read_text())
    assert index["schemaVersion"] == 2
    assert index["manifests"] == [
        {
            "mediaType": pushed.media_type,
            "digest": pushed.digest,
            "size": pushed.size,
            "annotations": {"org.opencontainers.image.ref.name": "v1"},
        }
    ]
    assert (layout / "blobs/sha256" / pushed.digest.removeprefix("sha256:")).stat().st_size == pushed.size
    assert [path.name for path in layout.iterdir() if path.name.startswith(".incoming")] == []


def test_pushing_the_same_again_leaves_the_index_alone(tmp_path: Path) -> None:
    registry = LayoutRegistry(tmp_path)
    RegistrySuite().push_image(registry, "v1", b"one")
    before = (tmp_path / "web/index.json").stat()
    RegistrySuite().push_image(registry, "v1", b"one")
    after = (tmp_path / "web/index.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_processes_that_push_at_once_lose_nothing(tmp_path: Path) -> None:
    workers = [_SPAWN.Process(target=push_many, args=(str(tmp_path), n, 15)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    registry = LayoutRegistry(tmp_path)
    assert all(registry.find("web", f"w{worker}-{n}") for worker in range(3) for n in range(15))


def test_a_killed_push_leaves_no_blob_and_the_next_one_succeeds(tmp_path: Path) -> None:
    worker = _SPAWN.Process(target=push_until_killed, args=(str(tmp_path),))
    worker.start()
    worker.join(60)
    assert worker.exitcode == -signal.SIGKILL
    layer, source = blob_of(b"x" * 100)
    assert LayoutRegistry(tmp_path).push_blob("web", layer, source) == 100


def test_what_a_killed_process_left_is_swept_a_day_later(tmp_path: Path) -> None:
    registry = LayoutRegistry(tmp_path)
    RegistrySuite().push_image(registry, "v1", b"one")
    fresh, old = tmp_path / "web/.incoming-fresh", tmp_path / "web/.incoming-old"
    for left in (fresh, old):
        left.write_bytes(b"half")
    os.utime(old, (1, 1))
    RegistrySuite().push_image(registry, "v2", b"two")
    assert fresh.exists()
    assert not old.exists()


def test_a_damaged_blob_is_not_read_as_good(tmp_path: Path) -> None:
    registry = LayoutRegistry(tmp_path)
    layer, source = blob_of(b"content")
    registry.push_blob("web", layer, source)
    (tmp_path / "web/blobs/sha256" / layer.digest.removeprefix("sha256:")).write_bytes(b"CONTENT")
    with pytest.raises(OutsideError, match="damaged"), registry.open("web", layer.digest) as stream:
        stream.read()


def test_a_damaged_index_is_named(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/index.json").write_text("{")
    with pytest.raises(OutsideError, match=r"web/index\.json"):
        LayoutRegistry(tmp_path).find("web", "v1")


@pytest.mark.parametrize("repository", ["../web", "/web", "Web", "web/blobs", "", "web//x", "."])
def test_a_repository_cannot_leave_the_folder(tmp_path: Path, repository: str) -> None:
    with pytest.raises(UsageError):
        LayoutRegistry(tmp_path).find(repository, "v1")


def test_a_digest_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        LayoutRegistry(tmp_path).open("web", "sha256:../../../etc/passwd")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutsideError, match="cannot be used"):
        LayoutRegistry(tmp_path / "file").push_blob("web", *blob_of(b"content"))
