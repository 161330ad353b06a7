"""`pipegraft audit` on real repositories: what is printed, and the exit code."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from pipegraft.cli import run
from pipegraft.core.release import Source
from pipegraft.iac.commits import commit_message, release_trailers
from pipegraft.images.adapters.registry import open_registry
from pipegraft.testing.images_suite import RegistrySuite


def git(folder: Path, *words: str, at: int = 0) -> str:
    environment = {"GIT_CONFIG_GLOBAL": "/dev/null", "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    for who in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{who}_NAME": "Ada", f"GIT_{who}_EMAIL": "ada@example.com"}
        environment[f"GIT_{who}_DATE"] = f"{1_700_000_000 + at} +0000"
    done = subprocess.run(
        ["git", *words], cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source repository beside an IaC repository that two releases went into, the second taken back."""
    source, iac = tmp_path / "shop", tmp_path / "iac"
    for folder in (source / "web", iac / "environments"):
        folder.mkdir(parents=True)
    (source / "delivery.yaml").write_text(
        "app: shop\nregistry: oci:../registry\ncomponents: {web: {path: web}}\niac: {repository: ../iac}\n"
        "environments:\n  production: {gate: {engine: embedded, state: ../engine, application: shop}}\n"
    )
    git(source, "init", "-q", "-b", "main")
    git(source, "add", "delivery.yaml")
    git(iac, "init", "-q", "-b", "main")
    (iac / "app.yaml").write_text("app: shop\n")
    registry = open_registry("oci:../registry", source)
    for number in (1, 2):
        git(source, "commit", "-q", "--allow-empty", "-m", f"change {number}", at=3600 * number)
        commit = git(source, "rev-parse", "HEAD")
        image = RegistrySuite().push_image(registry, f"v{number}", b"%d" % number)
        release(iac, number, commit, f"oci:{tmp_path}/registry/web@{image.digest}", 7200 * number)
    first = git(iac, "rev-list", "--reverse", "main").split()[0]
    git(iac, "checkout", "-q", first, "--", "environments/production.yaml")
    trailers = release_trailers("shop", "production", Source(commit=commit, number=2), "rollback")
    git(iac, "commit", "-qam", commit_message("shop: take back", ["it was bad"], trailers), at=7200 * 3)
    monkeypatch.chdir(source)
    return source


def release(iac: Path, number: int, source: str, image: str, at: int) -> None:
    file = iac / "environments" / "production.yaml"
    file.write_text(
        f"release: {{number: {number}, source: {source}}}\ncomponents:\n  web: {{image: '{image}'}}\n"
    )
    git(iac, "add", "-A")
    trailers = release_trailers("shop", "production", Source(commit=source, number=number), "bump")
    git(iac, "commit", "-qm", commit_message(f"shop: release {number}", [], trailers), at=at)


def test_a_chain_is_shown_and_ends_with_zero(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit"]) == 0
    out = capsys.readouterr().out
    assert "shop · production · release 2  taken back" in out
    assert "✔ web: the registry holds the image" in out
    assert "no link is broken" in out


def test_a_broken_link_ends_with_one_and_is_named(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for blob in (shop.parent / "registry").rglob("index.json"):
        blob.unlink()
    assert run(["audit", "--release", "1", "--json"]) == 1
    (chain,) = json.loads(capsys.readouterr().out)
    assert chain["state"] == "broken"
    assert [link["name"] for link in chain["links"] if link["state"] == "broken"] == ["images"]


def test_an_image_whose_manifest_was_changed_is_named(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (shop.parent / "iac" / "environments" / "production.yaml").read_text()
    digest = re.search(r"sha256:([0-9a-f]{64})", text)
    assert digest
    with (shop.parent / "registry" / "web" / "blobs" / "sha256" / digest[1]).open("ab") as manifest:
        manifest.write(b" ")
    assert run(["audit", "--release", "1", "--json"]) == 1
    (chain,) = json.loads(capsys.readouterr().out)
    (found,) = [one for link in chain["links"] for one in link["checks"] if one["state"] == "broken"]
    assert found["claim"] == "web: the registry holds the image"
    assert f"to be sha256:{digest[1]}" in found["found"]


def test_a_shallow_clone_claims_nothing_that_it_cannot_know(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(shop.parent, "clone", "-q", "--bare", "--depth", "1", f"file://{shop.parent}/iac", "shallow.git")
    for words in ([], ["--dora"]):
        assert run(["audit", "../shallow.git", "--offline", *words]) == 2
        assert "found a shallow clone\n    fix: run `git fetch --unshallow`" in capsys.readouterr().err

    first = git(shop, "rev-list", "--reverse", "main").split()[0]
    git(shop.parent, "clone", "-q", "--depth", "1", f"file://{shop}", "cut")
    git(shop.parent / "cut", "fetch", "-q", "--depth", "1", "origin", first)
    assert run(["audit", "--source", "../cut", "--release", "1", "--json"]) == 0
    (chain,) = json.loads(capsys.readouterr().out)
    checks = {one["claim"]: one for one in chain["links"][0]["checks"]}
    asked = checks["the source repository has it on its branch"]
    assert (asked["state"], asked["found"]) == (
        "not proven",
        "this clone is too shallow to tell; run `git fetch --unshallow`",
    )


def test_what_is_required_and_not_proven_ends_with_one(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["audit", "--require", "provenance", "--require", "signature"]) == 1
    out = capsys.readouterr().out
    assert "broken: source commit, images, IaC commit" in out


def test_the_repository_may_be_named_without_a_delivery(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (shop.parent / "elsewhere").mkdir()
    monkeypatch.chdir(shop.parent / "elsewhere")
    assert run(["audit", "../iac", "--release", "1", "--source", str(shop), "--json"]) == 0
    (chain,) = json.loads(capsys.readouterr().out)
    assert (chain["app"], chain["release"], chain["outcome"]) == ("shop", 1, "replaced")
    assert run(["audit"]) == 2
    assert "name the IaC repository" in capsys.readouterr().err


def test_figures_are_printed_and_drawn(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "--dora", "--until", "2023-12-31", "--html", "dora.html"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"change failure rate\s+50\.0%", out)
    assert re.search(r"lead time\s+90\.0 min", out)
    page = (shop / "dora.html").read_text()
    assert "50.0%" in page
    assert "<rect" in page
    assert "http" not in page.replace("http-equiv", "")  # nothing to fetch
    assert run(["audit", "--dora", "--until", "2023-12-31", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert {one["name"]: one["value"] for one in figures}["recovery time"] == 7200


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--release", "1", "--digest", "abc"], "one of --release, --digest and --commit"),
        (["--html", "x.html"], "add --dora"),
        (["--dora", "--since", "yesterday"], "expected a day such as 2026-03-31, found 'yesterday'"),
        (["--dora", "--until", "2001-01-01"], "nothing was deployed to production before"),
        (["--env", "moon"], "there is no environment 'moon'"),
        (["--release", "99"], "knows of no release 99"),
        (["nowhere.git"], "expected a git repository at"),
    ],
)
def test_wrong_usage_is_explained(
    shop: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert run(["audit", *words]) == 2
    assert told in capsys.readouterr().err
