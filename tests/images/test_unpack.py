"""Unpacking: what arrives in the folder, and what a hostile image cannot do."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipegraft.core.errors import OutsideError
from pipegraft.images.documents import LAYER, LAYER_GZIP, MANIFEST, canonical_json, image_manifest
from pipegraft.images.layers import unpack
from pipegraft.images.ports import FakeRegistry
from pipegraft.testing.images_suite import blob_of


def entry(name: str, content: str = "", **changes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.mode = 0o644
    info.size = len(content)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, content.encode()


def folder(name: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.DIRTYPE, mode=0o755)


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.SYMTYPE, linkname=target)


def hardlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.LNKTYPE, linkname=target)


def archive(entries: Sequence[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def unpacked(
    tmp_path: Path, *layers: Sequence[tuple[tarfile.TarInfo, bytes]], media_type: str = LAYER
) -> Path:
    registry = FakeRegistry()
    descriptors = []
    for layer in layers:
        content = archive(layer)
        blob, source = blob_of(gzip.compress(content) if "gzip" in media_type else content, media_type)
        registry.push_blob("web", blob, source)
        descriptors.append(blob)
    manifest = image_manifest(blob_of(b"{}")[0], descriptors)
    pushed = registry.push_manifest("web", "v1", manifest.content, MANIFEST)
    unpack(registry, "web", pushed.digest, tmp_path / "image")
    return tmp_path / "image"


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def tree(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): f"-> {path.readlink()}" if path.is_symlink() else path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.parametrize("media_type", [LAYER, LAYER_GZIP])
def test_layers_are_laid_over_one_another(tmp_path: Path, media_type: str) -> None:
    image = unpacked(
        tmp_path,
        [folder("app"), entry("app/a", "one"), entry("app/b", "one"), link("app/l", "a")],
        [entry("app/b", "two"), entry("deep/er/c", "three")],
        media_type=media_type,
    )
    assert tree(image) == {"app/a": "one", "app/b": "two", "app/l": "-> a", "deep/er/c": "three"}


def test_whiteouts_remove_what_lower_layers_hold(tmp_path: Path) -> None:
    image = unpacked(
        tmp_path,
        [entry("a", "1"), entry("d/x", "1"), entry("d/y", "1"), entry("gone/z", "1")],
        [entry(".wh.a"), entry(".wh.gone"), entry("d/new", "2"), entry("d/.wh..wh..opq")],
    )
    assert tree(image) == {"d/new": "2"}


def test_an_opaque_folder_keeps_what_its_own_layer_holds_below(tmp_path: Path) -> None:
    image = unpacked(
        tmp_path,
        [entry("d/sub/old", "1"), entry("d/old", "1")],
        [entry("d/sub/new", "2"), entry("d/.wh..wh..opq")],
    )
    assert tree(image) == {"d/sub/new": "2"}


def test_a_file_replaces_a_folder_and_a_folder_a_file(tmp_path: Path) -> None:
    image = unpacked(
        tmp_path, [entry("a/below", "1"), entry("b", "1")], [entry("a", "2"), entry("b/below", "2")]
    )
    assert tree(image) == {"a": "2", "b/below": "2"}


def test_modes_survive_but_for_set_id_bits_and_what_the_owner_needs(tmp_path: Path) -> None:
    image = unpacked(
        tmp_path, [entry("run", mode=0o4755), entry("locked", mode=0o000), entry("d/x", mode=0o444)]
    )
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in image.rglob("*") if path.is_file()}
    assert modes == {"run": 0o755, "locked": 0o600, "x": 0o644}


def test_links_are_followed_inside_the_image_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    image = unpacked(
        tmp_path,
        [folder("usr/bin"), link("bin", "usr/bin"), link("abs", str(outside)), link("up", "../../outside")],
        [entry("bin/tool", "1"), entry("abs/file", "1"), entry("up/file", "1")],
    )
    assert (image / "usr/bin/tool").read_text() == "1"
    assert list(outside.iterdir()) == []


def test_hard_links_stay_inside(tmp_path: Path) -> None:
    image = unpacked(tmp_path, [entry("a", "1"), hardlink("b", "a")])
    assert tree(image) == {"a": "1", "b": "1"}


def hostile_cases(outside: str) -> dict[str, list[tuple[tarfile.TarInfo, bytes]]]:
    return {
        "parent": [entry("../evil", "x")],
        "deep parent": [entry("a/../../evil", "x")],
        "hard link out": [hardlink("stolen", f"../{outside}/secret")],
        "hard link through a link": [link("l", f"../{outside}"), hardlink("stolen", "l/secret")],
        "circle": [link("a", "b"), link("b", "a"), entry("a/x", "x")],
        "device": [entry("null", type=tarfile.CHRTYPE)],
        "pipe": [entry("pipe", type=tarfile.FIFOTYPE)],
        "sparse": [entry("holes", "x", type=tarfile.GNUTYPE_SPARSE)],
        "long name": [entry("n" * 3_000_000)],
        "attributes": [entry("a", pax_headers={"SCHILY.xattr.user.x": "y" * 3_000_000})],
        "link to nothing": [hardlink("a", ".")],
        "name with NUL": [entry("a", pax_headers={"path": "a\0b"})],
        "link with NUL": [entry("a", type=tarfile.SYMTYPE, pax_headers={"linkpath": "a\0b"})],
    }


@pytest.mark.parametrize("name", list(hostile_cases("outside")))
def test_a_hostile_image_is_refused_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    secret = tmp_path / "outside/secret"
    secret.parent.mkdir()
    secret.write_text("secret")
    with pytest.raises(OutsideError):
        unpacked(tmp_path, hostile_cases("outside")[name])
    assert names(tmp_path) == ["outside"]
    assert names(secret.parent) == ["secret"]
    assert secret.read_text() == "secret"


def test_a_whiteout_cannot_remove_outside(tmp_path: Path) -> None:
    kept = tmp_path / "outside/kept"
    kept.parent.mkdir()
    kept.write_text("kept")
    unpacked(tmp_path, [link("l", "../outside")], [entry("l/.wh.kept"), entry("l/.wh..wh..opq")])
    assert kept.exists()


def refused(tmp_path: Path, content: bytes) -> str:
    registry = FakeRegistry()
    blob, source = blob_of(gzip.compress(content), LAYER_GZIP)
    registry.push_blob("web", blob, source)
    manifest = image_manifest(blob_of(b"{}")[0], [blob])
    pushed = registry.push_manifest("web", "v1", manifest.content, MANIFEST)
    with pytest.raises(OutsideError) as error:
        unpack(registry, "web", pushed.digest, tmp_path / "image")
    assert names(tmp_path) == []
    return str(error.value)


def header(name: str, size: int) -> bytes:
    return entry(name, size=size)[0].tobuf(tarfile.GNU_FORMAT)


def test_what_would_fill_the_disk_is_refused_before_it_does(tmp_path: Path) -> None:
    assert "does not fit" in refused(tmp_path, header("zeros", 17 << 30) + bytes(1 << 20))
    many = header("a", 6 << 30) + bytes(1 << 20)
    assert "cannot be unpacked" in refused(tmp_path, many)  # it ends before its six gigabytes


def test_headers_without_end_are_refused(tmp_path: Path) -> None:
    pax = tarfile.TarInfo("a")
    pax.pax_headers = {"comment": "x"}
    block = pax.tobuf(tarfile.PAX_FORMAT)[:1024]
    assert refused(tmp_path, block * 1000)


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_archive_ends_in_anything_but_an_error_of_ours(tmp_path: Path, data: st.DataObject) -> None:
    """Headers with bytes changed at random, their sums made right again."""
    whole = bytearray(archive([folder("d"), entry("d/a", "1"), link("l", "d"), hardlink("h", "d/a")]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
        start = at - at % 512
        block = whole[start : start + 512]
        block[148:156] = b" " * 8
        whole[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    registry = FakeRegistry()
    blob, source = blob_of(bytes(whole), LAYER)
    registry.push_blob("web", blob, source)
    manifest = image_manifest(blob_of(b"{}")[0], [blob])
    pushed = registry.push_manifest("web", "v1", manifest.content, MANIFEST)
    with TemporaryDirectory(dir=tmp_path) as place, suppress(OutsideError):
        unpack(registry, "web", pushed.digest, Path(place) / "image")


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh..."])
def test_a_whiteout_without_a_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutsideError):
        unpacked(tmp_path, [entry("a/kept", "1")], [entry(f"a/{name}")])


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    unpacked(tmp_path, [entry("a", "1")])
    assert tree(tmp_path / "image") == {}


def test_a_damaged_layer_leaves_nothing(tmp_path: Path) -> None:
    registry = FakeRegistry()
    blob, source = blob_of(b"not a tar archive")
    registry.push_blob("web", blob, source)
    manifest = image_manifest(blob, [blob])
    pushed = registry.push_manifest("web", "v1", manifest.content, MANIFEST)
    with pytest.raises(OutsideError, match="cannot be unpacked"):
        unpack(registry, "web", pushed.digest, tmp_path / "image")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "document", [b"[]", b"{", b'{"layers": 1}', b'{"manifests": []}', canonical_json({"layers": [{}]})]
)
def test_what_is_no_image_is_said(tmp_path: Path, document: bytes) -> None:
    registry = FakeRegistry()
    pushed = registry.push_manifest("web", "v1", document, MANIFEST)
    with pytest.raises(OutsideError):
        unpack(registry, "web", pushed.digest, tmp_path / "image")
