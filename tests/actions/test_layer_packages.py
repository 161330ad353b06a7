"""Packages found in layers: what a layer above replaces or removes is gone."""

from __future__ import annotations

import io
import tarfile
from contextlib import nullcontext
from pathlib import Path

import pytest

from pipegraft.actions.build_context import read_context
from pipegraft.actions.image_packages import packages_of_context, packages_of_layers
from pipegraft.ports.images import BuildRequest

MUSL = "P:musl\nV:1.2\nA:x86_64\n"
CURL = "P:curl\nV:8.5\nA:x86_64\n"


def layer(files: dict[str, str], mode: str = "w"):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return lambda: nullcontext(io.BytesIO(made.getvalue()))


BASE = layer({"./etc/os-release": 'NAME="Alpine Linux"\nID=alpine\n', "lib/apk/db/installed": MUSL}, "w:gz")


@pytest.mark.parametrize(
    ("above", "names"),
    [
        ([], ["musl"]),
        ([{"lib/apk/db/installed": f"{MUSL}\n{CURL}"}], ["curl", "musl"]),
        ([{"lib/apk/db/.wh.installed": ""}], []),
        ([{"lib/.wh.apk": ""}], []),
        ([{"lib/apk/.wh..wh..opq": ""}], []),
        ([{"lib/apk-tools/.wh.installed": "", "app/requirements.txt": "x==1"}], ["musl"]),
        ([{"lib/apk/db/.wh.installed": ""}, {"lib/apk/db/installed": CURL}], ["curl"]),
    ],
)
def test_the_highest_layer_counts(above: list[dict[str, str]], names: list[str]) -> None:
    found = packages_of_layers([BASE, *map(layer, above)])
    assert [package.name for package in found] == names
    assert all(package.purl.startswith("pkg:apk/alpine/") for package in found)


def test_lock_files_of_the_context_that_are_not_ignored_count(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "requirements.txt").write_text("click==8.1.0\n")
    (tmp_path / "tests/requirements.txt").write_text("pytest==8.0.0\n")
    (tmp_path / ".dockerignore").write_text("tests\n")
    request = BuildRequest("web", tmp_path, read_context(tmp_path).entries, "web", ())
    assert [package.name for package in packages_of_context(request)] == ["click"]
