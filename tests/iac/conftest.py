"""A guarded IaC repository: a server with `hooks/pre-receive`, and a clone of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from git_http import serve
from guarded import APP, PATH, ROOT, RULES, STABLE, Git, save


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Git]:
    """A clone of a guarded repository; its remote is served over HTTP to the user `tester`."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    bare, clone = tmp_path / "iac.git", tmp_path / "clone"
    clone.mkdir()
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", *words], cwd=clone, env=environment, capture_output=True, text=True, check=False
        )

    git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    git("--git-dir", str(bare), "config", "http.receivepack", "true")
    git("--git-dir", str(bare), "config", "receive.fsckObjects", "true")
    git("init", "--quiet", "--initial-branch=main")
    with serve(tmp_path) as server:
        git("remote", "add", "origin", f"{server.url}/iac.git")
        save(git, clone, {"app.yaml": APP, PATH: STABLE, ".pipegraft/guard.yaml": RULES})
        assert git("push", "origin", "main").returncode == 0
        shutil.copy(ROOT / "hooks" / "pre-receive", bare / "hooks" / "pre-receive")
        yield git
