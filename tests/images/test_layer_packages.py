"""Packages found in layers: what a layer above replaces or removes is gone."""

from __future__ import annotations

import io
import sqlite3
import struct
import tarfile
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from pipegraft.images.build_context import read_context
from pipegraft.images.image_packages import packages_of_context, packages_of_layers
from pipegraft.images.ports.builders import BuildRequest

MUSL = "P:musl\nV:1.2\nA:x86_64\n"
CURL = "P:curl\nV:8.5\nA:x86_64\n"


def layer(files: dict[str, str | bytes], mode: str = "w"):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as tar:
        for name, given in files.items():
            content = given.encode() if isinstance(given, str) else given
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
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
    assert [package.name for package in found.packages] == names
    assert all(package.purl.startswith("pkg:apk/alpine/") for package in found.packages)
    assert found.unread == ()


def header(*values: tuple[int, int, bytes]) -> bytes:
    """A header as RPM writes it: each value with its tag and type."""
    index, data = b"", b""
    for tag, kind, value in values:
        index += struct.pack(">IIII", tag, kind, len(data), 1)
        data += value
    return struct.pack(">II", len(values), len(data)) + index + data


BASH = header((1000, 6, b"bash\0"), (1001, 6, b"5.1.8\0"), (1002, 6, b"9.el9\0"), (1022, 6, b"x86_64\0"))
DBUS = header((1000, 6, b"dbus\0"), (1001, 6, b"1.12\0"), (1002, 6, b"8~1\0"), (1003, 4, b"\0\0\0\1"))
KEY = header((1000, 6, b"gpg-pubkey\0"), (1001, 6, b"fd43\0"), (1002, 6, b"4ae0\0"))


def rpm_database(folder: Path, *headers: bytes) -> bytes:
    with closing(sqlite3.connect(folder / "rpmdb.sqlite")) as opened:
        opened.execute("PRAGMA journal_mode=WAL")
        opened.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
        opened.executemany("INSERT INTO Packages (blob) VALUES (?)", [(one,) for one in headers])
        opened.commit()
    return (folder / "rpmdb.sqlite").read_bytes()


@pytest.mark.parametrize("place", ["var/lib/rpm", "usr/lib/sysimage/rpm"])
def test_what_rpm_installed(tmp_path: Path, place: str) -> None:
    database = rpm_database(tmp_path, DBUS, KEY, BASH)
    found = packages_of_layers([layer({"etc/os-release": "ID=rhel\n", f"{place}/rpmdb.sqlite": database})])
    assert [package.purl for package in found.packages] == [
        "pkg:rpm/rhel/bash@5.1.8-9.el9?arch=x86_64",
        "pkg:rpm/rhel/dbus@1.12-8~1?epoch=1",
    ]
    assert found.unread == ()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("Packages", b"Berkeley"),
        ("Packages.db", b"ndb"),
        ("rpmdb.sqlite", b""),
        ("rpmdb.sqlite", b"no database"),
        ("rpmdb.sqlite", None),
    ],
)
def test_a_database_that_is_not_read_is_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    held = rpm_database(tmp_path, BASH, BASH[:40]) if content is None else content
    files = {f"var/lib/rpm/{name}": held, "lib/apk/db/installed": MUSL}
    found = packages_of_layers([layer(files)])
    assert found.unread == (f"var/lib/rpm/{name}",)
    assert [package.name for package in found.packages] == ["musl"]
    gone = packages_of_layers([layer(files), layer({"var/lib/rpm/.wh..wh..opq": ""})])
    assert gone.unread == ()


def test_lock_files_of_the_context_that_are_not_ignored_count(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "requirements.txt").write_text("click==8.1.0\n")
    (tmp_path / "tests/requirements.txt").write_text("pytest==8.0.0\n")
    (tmp_path / ".dockerignore").write_text("tests\n")
    request = BuildRequest("web", tmp_path, read_context(tmp_path).entries, "web", ())
    assert [package.name for package in packages_of_context(request)] == ["click"]
