"""What a user sees while an installed plugin does not work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SHOP = Path(__file__).parents[2] / "examples" / "shop"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The shop, beside the folder of an installed package whose module needs what is not there."""
    site = tmp_path / "site"
    info = site / "acme_gate-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-gate\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pipegraft]\ngate = acme_gate\n")
    (site / "acme_gate.py").write_text("import surely_not_there\n")
    shutil.copytree(SHOP, tmp_path / "shop", ignore=shutil.ignore_patterns(".pipegraft", "iac"))
    return tmp_path / "shop"


def pipegraft(shop: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipegraft", *words],
        cwd=shop,
        env={**os.environ, "PYTHONPATH": str(shop.parent / "site")},
        capture_output=True,
        text=True,
        check=False,
    )


SAID = (
    "warning: plugin gate (acme-gate 1.0) does not work and is left out: acme_gate cannot be loaded: "
    "ModuleNotFoundError: No module named 'surely_not_there'\n"
    "    fix: install what it needs, 'surely_not_there', or uninstall acme-gate\n"
)


@pytest.mark.parametrize("words", [["plan"], ["inject", "--dry-run", ".gitlab-ci.yml"]])
def test_what_leaves_its_stage_out_warns_of_it(shop: Path, words: list[str]) -> None:
    done = pipegraft(shop, *words)
    assert (done.returncode, done.stderr) == (0, SAID)


def test_a_stage_that_it_would_have_provided_is_not_silently_missing(shop: Path) -> None:
    done = pipegraft(shop, "run", "acme-gate")
    assert done.returncode == 2
    assert done.stderr.startswith(SAID)
    assert "the plan has no stage 'acme-gate'" in done.stderr


def test_templates_of_its_stage_are_not_deleted(shop: Path) -> None:
    assert pipegraft(shop, "templates").returncode == 0
    mine = shop / "ci_templates" / "gitlab" / "acme-gate.yml"
    mine.write_text("# generated while the plugin worked\n")
    done = pipegraft(shop, "templates")
    assert done.returncode == 2, done.stdout
    assert "ci_templates/gitlab/acme-gate.yml would be deleted, and may be of a plugin" in done.stderr
    assert mine.exists()
