"""Hashes that are kept between runs: never a stale one, whatever happens to files and to the cache."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pipegraft.images import build_context, known_files
from pipegraft.images.build_context import read_context
from pipegraft.images.image_cache import load_kept, save_kept

SIZE = 600_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "web"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_bytes(name.encode() * SIZE)
    return folder


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / ".pipegraft" / "cache" / "files"


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were just written count as old."""
    monkeypatch.setattr(known_files, "_FRESH", -(10**15))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read, as they are read."""
    names: list[str] = []
    digest = hashlib.file_digest

    def note(stream, algorithm):
        names.append(Path(stream.name).name)
        return digest(stream, algorithm)

    monkeypatch.setattr(build_context.hashlib, "file_digest", note)
    return names


@pytest.mark.usefixtures("settled")
def test_only_what_changed_is_read_again(folder: Path, kept: Path, hashed: list[str]) -> None:
    read_context(folder, kept)
    (folder / "b").write_bytes(b"c" * SIZE)
    hashed.clear()
    context = read_context(folder, kept)
    assert hashed == ["b"]
    assert context == read_context(folder)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"c" * SIZE),
        lambda path: path.chmod(0o755),
        lambda path: path.write_bytes(b"short"),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), path.symlink_to("a")),
        lambda path: (path.with_name("n").write_bytes(b"n" * SIZE), path.with_name("n").replace(path)),
    ],
)
def test_a_change_is_seen_though_size_and_times_are_set_back(folder: Path, kept: Path, change) -> None:
    read_context(folder, kept)
    before = (folder / "b").stat()
    change(folder / "b")
    if (folder / "b").exists():
        os.utime(folder / "b", ns=(before.st_atime_ns, before.st_mtime_ns), follow_symlinks=False)
    assert read_context(folder, kept) == read_context(folder)


def test_a_file_written_just_before_is_not_kept(folder: Path, kept: Path, hashed: list[str]) -> None:
    read_context(folder, kept)
    hashed.clear()
    read_context(folder, kept)
    assert sorted(hashed) == ["a", "b"]


@pytest.mark.usefixtures("settled")
def test_a_file_that_changes_while_it_is_read_is_not_kept(
    folder: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.file_digest

    def meddle(stream, algorithm):
        found = digest(stream, algorithm)
        Path(stream.name).write_bytes(b"x" * SIZE)
        return found

    monkeypatch.setattr(build_context.hashlib, "file_digest", meddle)
    read_context(folder, kept)
    monkeypatch.undo()
    assert read_context(folder, kept) == read_context(folder)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-7]),
        lambda path: path.write_bytes(path.read_bytes().replace(b'"a"', b'"b"')),
    ],
)
def test_a_lost_or_damaged_cache_costs_time_only(folder: Path, kept: Path, damage) -> None:
    read_context(folder, kept)
    damage(kept)
    assert read_context(folder, kept) == read_context(folder)


def test_what_another_version_kept_does_not_count(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_kept(kept, {"a": 1})
    assert load_kept(kept) == {"a": 1}
    monkeypatch.setattr("pipegraft.images.image_cache.__version__", "0")
    assert load_kept(kept) == {}


def test_what_is_kept_stays_out_of_git(kept: Path) -> None:
    save_kept(kept, {})
    assert (kept.parent / ".gitignore").read_text() == "*\n"


@pytest.mark.usefixtures("settled")
def test_a_folder_that_cannot_be_written_is_no_error(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert read_context(folder, tmp_path / "file" / "cache") == read_context(folder)
