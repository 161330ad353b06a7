"""Packages from lock files and databases, and the bill of materials they end up in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipegraft.images.attestations import BuildFacts
from pipegraft.images.bill import sbom
from pipegraft.images.packages import is_database, is_lock_file, read_database, read_lock_file
from pipegraft.images.ports.builders import BuildRequest, ContextEntry, Package
from pipegraft.images.ports.registry import Descriptor

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("path", "text", "purls"),
    [
        (
            "requirements.txt",
            "# pins\nFlask_Login==0.6.3 --hash=sha256:0\nhttpx[http2]==0.27.0 ; extra == 'x'\nclick>=8\n",
            ["pkg:pypi/flask-login@0.6.3", "pkg:pypi/httpx@0.27.0"],
        ),
        (
            "web/package-lock.json",
            json.dumps(
                {
                    "lockfileVersion": 3,
                    "packages": {
                        "": {"name": "web", "version": "1.0.0"},
                        "node_modules/@scope/a": {"version": "1.2.3"},
                        "node_modules/b/node_modules/c": {"version": "2.0.0"},
                        "node_modules/linked": {"resolved": "libs/linked", "link": True},
                    },
                }
            ),
            ["pkg:npm/%40scope/a@1.2.3", "pkg:npm/c@2.0.0"],
        ),
        (
            "package-lock.json",
            '{"dependencies": {"a": {"version": "1.0.0", "dependencies": {"b": {"version": "2.0.0"}}}}}',
            ["pkg:npm/a@1.0.0", "pkg:npm/b@2.0.0"],
        ),
        (
            "go.mod",
            "module example.com/shop\ngo 1.22\nrequire github.com/x/y v1.2.3\nrequire (\n"
            "\tgolang.org/x/net v0.5.0 // indirect\n)\nreplace github.com/x/y => ../y\n",
            ["pkg:golang/github.com/x/y@v1.2.3", "pkg:golang/golang.org/x/net@v0.5.0"],
        ),
        (
            "Cargo.lock",
            '[[package]]\nname = "serde"\nversion = "1.0.1"\nsource = "registry+https://x"\n'
            '[[package]]\nname = "shop"\nversion = "0.1.0"\n',
            ["pkg:cargo/serde@1.0.1"],
        ),
        (
            "uv.lock",
            '[[package]]\nname = "click"\nversion = "8.1.0"\nsource = { registry = "https://pypi.org" }\n'
            '[[package]]\nname = "shop"\nversion = "0.1.0"\nsource = { editable = "." }\n',
            ["pkg:pypi/click@8.1.0"],
        ),
        ("package-lock.json", "{", []),
        ("Cargo.lock", "[[package]]\nname = 1", []),
        ("uv.lock", "package = 5", []),
    ],
)
def test_what_lock_files_pin(path: str, text: str, purls: list[str]) -> None:
    assert is_lock_file(path)
    assert [package.purl for package in read_lock_file(path, text)] == purls


def test_what_debian_installed() -> None:
    text = (
        "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9+deb12u4\n"
        "Description: GNU C Library\n Version: not this\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
        "Package: adduser\nStatus: install ok installed\nVersion: 1:3.134\nArchitecture: all\n"
    )
    assert [package.purl for package in read_database("var/lib/dpkg/status", text, "debian")] == [
        "pkg:deb/debian/adduser@1:3.134?arch=all",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u4?arch=amd64",
    ]


def test_what_alpine_installed() -> None:
    text = "C:Q1x=\nP:musl\nV:1.2.4-r2\nA:x86_64\nF:lib\nR:ld-musl.so\n\nP:zlib\nV:1.3-r0\nA:x86_64\n"
    assert [package.purl for package in read_database("lib/apk/db/installed", text, "")] == [
        "pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64",
        "pkg:apk/alpine/zlib@1.3-r0?arch=x86_64",
    ]


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("var/lib/dpkg/status", True),
        ("var/lib/dpkg/status.d/base-files", True),
        ("var/lib/dpkg/status.d/base-files.md5sums", False),
        ("home/var/lib/dpkg/status", False),
    ],
)
def test_databases_are_known_by_their_place(path: str, known: bool) -> None:
    assert is_database(path) is known


def bill(**changes: object) -> dict:
    request = BuildRequest("web", Path(), (ContextEntry("main.py", "file", "b" * 64),), "web", ())
    facts = {
        "image": Descriptor("application/vnd.oci.image.manifest.v1+json", DIGEST, 7),
        "request": request,
        "builder": "docker:1",
        "commit": "c" * 40,
        "repository": "",
        "pipeline": "1",
        "started": 0.0,
        "finished": 1.0,
        **changes,
    }
    return json.loads(sbom(BuildFacts(**facts)).content)


PACKAGE = Package("pkg:pypi/click@8.1.0", "click", "8.1.0", "requirements.txt")


def test_a_bill_names_base_packages_and_files_each_once() -> None:
    document = bill(dependencies={"python:3.12": DIGEST, "unknown": ""}, packages=[PACKAGE, PACKAGE])
    named = [(part["type"], part["name"]) for part in document["components"]]
    assert named == [("container", "python:3.12"), ("library", "click"), ("file", "main.py")]
    references = [part["bom-ref"] for part in [document["metadata"]["component"], *document["components"]]]
    assert len(set(references)) == len(references)
    assert document["components"][1]["purl"] == PACKAGE.purl


@pytest.mark.parametrize(
    ("changes", "aggregate"),
    [
        ({}, "unknown"),
        ({"dependencies": {"python:3.12": DIGEST}}, "incomplete"),
        ({"dependencies": {"python:3.12": DIGEST}, "sees_all": True}, "unknown"),
    ],
)
def test_a_bill_says_when_something_was_not_seen(changes: dict[str, object], aggregate: str) -> None:
    assert bill(**changes)["compositions"] == [{"aggregate": aggregate, "assemblies": ["image"]}]


def test_the_same_image_has_the_same_bill() -> None:
    assert bill() == bill(started=5.0, commit="d" * 40, pipeline="2")
