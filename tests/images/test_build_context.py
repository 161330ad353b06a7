"""Reading a build context: what counts, and what is refused."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from pipegraft.core.errors import UsageError
from pipegraft.images.build_context import read_context
from pipegraft.images.hooks import ContextEntry


def paths(folder: Path) -> list[str]:
    return [entry.path for entry in read_context(folder).entries]


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_describes_files_folders_and_links(tmp_path: Path) -> None:
    fill(tmp_path, "bin/run")
    (tmp_path / "bin/run").chmod(0o700)
    (tmp_path / "dangling").symlink_to("../nowhere")
    assert read_context(tmp_path).entries == (
        ContextEntry("bin", "folder"),
        ContextEntry("bin/run", "file", hashlib.sha256(b"bin/run").hexdigest(), executable=True, size=7),
        ContextEntry("dangling", "link", content="../nowhere"),
    )


def test_ignored_files_do_not_count_and_exceptions_do(tmp_path: Path) -> None:
    fill(tmp_path, "a.py", "cache/x", "cache/keep/y", "b.log")
    (tmp_path / ".dockerignore").write_text("cache\n*.log\n!cache/keep\n")
    assert paths(tmp_path) == ["a.py", "cache/keep", "cache/keep/y"]


def test_history_and_our_own_records_do_not_count(tmp_path: Path) -> None:
    fill(tmp_path, ".git/HEAD", ".pipegraft/release.json", "a.py")
    assert paths(tmp_path) == ["a.py"]


def test_the_dockerfiles_own_ignore_file_goes_first(tmp_path: Path) -> None:
    fill(tmp_path, "Dockerfile", "a.py", "b.py")
    (tmp_path / ".dockerignore").write_text("a.py")
    (tmp_path / "Dockerfile.dockerignore").write_text("b.py")
    assert paths(tmp_path) == ["Dockerfile", "a.py"]


def test_an_ignored_dockerfile_is_still_read(tmp_path: Path) -> None:
    fill(tmp_path, "a.py")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / ".dockerignore").write_text("Dockerfile")
    context = read_context(tmp_path)
    assert [entry.path for entry in context.entries] == ["a.py"]
    assert context.dockerfile == "FROM scratch\n"


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing"):
        read_context(tmp_path / "missing")


def test_a_pipe_is_refused_unless_ignored(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="pipe"):
        read_context(tmp_path)
    (tmp_path / ".dockerignore").write_text("pipe")
    assert paths(tmp_path) == []


@pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore"])
def test_a_folder_where_a_file_is_expected_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match=rf"{name}' cannot be read: Is a directory"):
        read_context(tmp_path)


def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("x")

    readable = Path.open

    def refuse(path: Path, *arguments: Any, **named: Any) -> Any:
        if path.name == "secret":
            raise PermissionError(13, "Permission denied", str(path))
        return readable(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    with pytest.raises(UsageError, match="secret' cannot be read: Permission denied"):
        read_context(tmp_path)


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).write_text("x")
    with pytest.raises(UsageError, match="UTF-8"):
        read_context(tmp_path)
