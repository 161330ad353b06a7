"""`pipegraft images`: what it prints and writes, and what it says when there is no release."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipegraft.cli.plan import images_command
from pipegraft.core.errors import UsageError
from pipegraft.core.release import BuiltImage, Release, Source

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pricing").mkdir()
    (tmp_path / "delivery.yaml").write_text(
        "app: shop\nregistry: oci:images\n"
        "components: {pricing: {path: pricing, intimacy: in-process, mount: /opt/pricing}}\n"
        "iac: {repository: iac.git}\n"
        "environments: {staging: {gate: {engine: embedded, state: engine, application: shop}}}\n"
    )
    return tmp_path


@pytest.fixture
def released(project: Path) -> Path:
    image = BuiltImage(
        reference=f"oci:/images/pricing@{DIGEST}",
        digest=DIGEST,
        input_hash="ih-" + "b" * 64,
        builder="layer",
        built=True,
    )
    release = Release(app="shop", source=Source(commit="c" * 40, number=7), images={"pricing": image})
    record = project / ".pipegraft/release.json"
    record.parent.mkdir()
    record.write_text(release.model_dump_json())
    return project


def invoke(project: Path, *arguments: str) -> str:
    done = CliRunner().invoke(images_command, ["-C", str(project), *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_lists_images_for_people_and_for_programs(released: Path) -> None:
    assert invoke(released) == f"pricing  oci:/images/pricing@{DIGEST}  built\n"
    assert json.loads(invoke(released, "--json"))["pricing"]["digest"] == DIGEST


def test_the_pointer_is_within_gitlabs_limits(released: Path) -> None:
    assert invoke(released, "--dotenv", str(released / "release.env")) == ""
    text = (released / "release.env").read_text()
    values = dict(line.split("=", 1) for line in text.splitlines())
    record = (released / ".pipegraft/release.json").read_bytes()
    assert values["PIPEGRAFT_RELEASE_FILE"] == ".pipegraft/release.json"
    assert values["PIPEGRAFT_RELEASE_SHA256"] == hashlib.sha256(record).hexdigest()
    assert values["PIPEGRAFT_RELEASE_BUILT"] == "1"
    assert len(values) <= 20
    assert len(text.encode()) <= 5 * 1024


def test_a_component_that_the_release_has_not_is_refused(released: Path) -> None:
    with pytest.raises(UsageError, match="the release has no component 'web'; it has: pricing"):
        invoke(released, "web")
