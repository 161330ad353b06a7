"""The bill of materials: what a scanner found, what it looked at, and what the document says of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from pipegraft.core.errors import OutsideError
from pipegraft.images.adapters.building import note_statements, scan_archive, scan_context
from pipegraft.images.attestations import BuildFacts, sbom
from pipegraft.images.build_context import read_context
from pipegraft.images.hooks import BuildRequest, ContextEntry, FoundPackages, Package
from pipegraft.images.ports import Descriptor

DIGEST = "sha256:" + "a" * 64
CLICK = Package("pkg:pypi/click@8.1.0", "click", "8.1.0", "requirements.txt")
SYFT = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "metadata": {"tools": {"components": [{"type": "application", "name": "syft", "version": "1.38.0"}]}},
    "components": [
        {
            "type": "library", "name": "click", "version": "8.1.0", "purl": CLICK.purl,
            "properties": [{"name": "syft:location:0:path", "value": "/requirements.txt"}],
        },
        {"type": "operating-system", "name": "debian", "version": "12"},
    ],
}  # fmt: skip
TRIVY = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.4",
    "metadata": {"tools": [{"vendor": "aquasecurity", "name": "trivy", "version": "0.49.1"}]},
    "components": [
        {
            "type": "library", "group": "@types", "name": "node", "version": "20.1.0",
            "purl": "pkg:npm/%40types/node@20.1.0",
            "properties": [{"name": "aquasecurity:trivy:FilePath", "value": "app/package-lock.json"}],
        }
    ],
}  # fmt: skip

"""As trivy 0.49 writes it; both after the expected results of its own tests: no trivy runs here."""
TRIVY_OF_TODAY = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.7",
    "metadata": {"tools": {"components": [
        {"type": "application", "group": "aquasecurity", "name": "trivy", "version": "0.74.0"}
    ]}},
    "components": [
        {
            "bom-ref": "5f1c", "type": "application", "name": "app/package-lock.json",
            "properties": [{"name": "aquasecurity:trivy:Type", "value": "npm"}],
        },
        {
            "bom-ref": "pkg:npm/%40types/node@20.1.0", "type": "library", "group": "@types", "name": "node",
            "version": "20.1.0", "purl": "pkg:npm/%40types/node@20.1.0",
            "properties": [
                {"name": "aquasecurity:trivy:PkgType", "value": "npm"},
                {"name": "aquasecurity:trivy:FilePath", "value": "app/package-lock.json"},
            ],
        },
    ],
}  # fmt: skip


def bill(**changes: object) -> dict:
    request = BuildRequest("web", Path(), (ContextEntry("main.py", "file", "b" * 64),), "shop/web", ())
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
    content = sbom(BuildFacts(**facts)).content
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(content.decode()) is None
    return json.loads(content)


def found(*packages: Package, sees_bases: bool = True) -> FoundPackages:
    return FoundPackages(packages, "syft 1.38.0", "all layers of the image", sees_bases)


def test_a_bill_names_base_packages_and_files_each_once() -> None:
    document = bill(dependencies={"python:3.12": DIGEST, "unknown": ""}, packages=found(CLICK))
    named = {(part["type"], part["name"]) for part in document["components"]}
    assert named == {("container", "python:3.12"), ("library", "click"), ("file", "main.py")}
    references = [part["bom-ref"] for part in [document["metadata"]["component"], *document["components"]]]
    assert len(set(references)) == len(references) == 4
    assert document["metadata"]["component"]["purl"].startswith("pkg:oci/web@sha256")
    assert [one["name"] for one in document["metadata"]["tools"]["components"]] == ["pipegraft", "syft"]


@pytest.mark.parametrize(
    ("changes", "aggregate", "looked"),
    [
        ({}, "incomplete", "not looked for: neither syft nor trivy was there"),
        ({"packages": found()}, "unknown", "syft 1.38.0: all layers of the image"),
        (
            {"dependencies": {"python:3.12": DIGEST}, "packages": found(sees_bases=False)},
            "incomplete",
            "syft",
        ),
        ({"dependencies": {"python:3.12": DIGEST}, "packages": found()}, "unknown", "syft"),
    ],
)
def test_a_bill_says_what_was_looked_at(changes: dict[str, object], aggregate: str, looked: str) -> None:
    document = bill(**changes)
    assert document["compositions"] == [{"aggregate": aggregate, "assemblies": ["image"]}]
    (said,) = document["metadata"]["properties"]
    assert said["name"] == "pipegraft:packages"
    assert said["value"].startswith(looked)


def test_the_same_image_has_the_same_bill() -> None:
    assert bill() == bill(started=0.5, commit="d" * 40, pipeline="2")


# Scanners


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "requirements.txt").write_text("click==8.1.0\n")
    (folder / "ignored.lock").write_text("")
    (folder / ".dockerignore").write_text("*.lock\n")
    return folder


def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, *names: str) -> None:
    """Programs of these names are the only ones there; each writes its arguments to a file ``asked``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in names:
        program = folder / name
        program.write_text(
            f"#!{sys.executable}\nimport os, sys\n"
            f"open({str(tmp_path / 'asked')!r}, 'w').write(' '.join([{name!r}, *sys.argv[1:]]))\n{script}\n"
        )
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def scan(context: Path, archive: Path | None = None) -> tuple[FoundPackages, list[str]]:
    seen: list[FoundPackages] = []
    lines: list[str] = []
    request = BuildRequest(
        "web", context, read_context(context).entries, "web", (), note_packages=seen.append
    )
    if archive:
        scan_archive(request, archive, lines.append)
    else:
        scan_context(request, lines.append)
    return seen[0], lines


def test_without_a_scanner_the_log_and_the_bill_say_so(
    context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, monkeypatch, "")
    assert scan(context) == (
        FoundPackages(), ["SBOM: files alone, for neither syft nor trivy is installed"],
    )  # fmt: skip


def test_syft_is_taken_where_both_are(context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, monkeypatch, f"print({json.dumps(json.dumps(SYFT))})", "syft", "trivy")
    packages, lines = scan(context, tmp_path / "image.tar")
    assert packages == FoundPackages((CLICK,), "syft 1.38.0", "all layers of the image", sees_bases=True)
    assert lines == ["SBOM: 1 package found by syft 1.38.0 in all layers of the image"]
    assert (tmp_path / "asked").read_text().endswith(f"docker-archive:{tmp_path}/image.tar")


def test_a_builder_that_cannot_let_buildkit_scan_says_so(
    context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, monkeypatch, "")
    monkeypatch.setenv("PIPEGRAFT_BUILDKIT_SCANNER", "scanner:1")
    _, lines = scan(context, tmp_path / "image.tar")
    assert lines[0] == (
        "SBOM: this builder has no use for PIPEGRAFT_BUILDKIT_SCANNER: a BuildKit apart from engines has"
    )


@pytest.mark.parametrize(("document", "version"), [(TRIVY, "0.49.1"), (TRIVY_OF_TODAY, "0.74.0")])
def test_trivy_looks_at_what_goes_into_the_image_alone(
    context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: dict[str, object], version: str
) -> None:
    listing = f"open({str(tmp_path / 'seen')!r}, 'w').write(' '.join(sorted(os.listdir(sys.argv[-1]))))\n"
    installed(tmp_path, monkeypatch, f"{listing}print({json.dumps(json.dumps(document))})", "trivy")
    packages, _lines = scan(context)
    node = Package("pkg:npm/%40types/node@20.1.0", "@types/node", "20.1.0", "app/package-lock.json")
    assert packages == FoundPackages((node,), f"trivy {version}", "the component's files")
    assert (tmp_path / "seen").read_text() == "requirements.txt"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("sys.exit('no space left')", "syft ended with exit code 1: no space left"),
        ("print('no json')", "expected a CycloneDX document from syft"),
        ("print('[]')", "expected a CycloneDX document from syft"),
    ],
)
def test_a_scanner_that_fails_is_named(
    script: str, said: str, context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, monkeypatch, script, "syft")
    with pytest.raises(OutsideError, match=said):
        scan(context)


@pytest.mark.parametrize("statement", [b"{", b"[]", b'{"predicate": {"packages": [{"name": "a"}]}}'])
def test_what_is_no_statement_of_a_scanner_is_refused(context: Path, statement: bytes) -> None:
    request = BuildRequest("web", context, (), "web", (), note_packages=lambda _found: None)
    with pytest.raises(OutsideError, match="statements in SPDX from BuildKit's scanner"):
        note_statements(request, [statement], lambda _line: None)
