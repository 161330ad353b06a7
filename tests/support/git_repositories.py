"""Repositories that tests make with git itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

FILES = {"app.yaml": "app: shop\n", "environments/production.yaml": "a: 1\n"}


def git(folder: Path, *arguments: str, stdin: str = "") -> str:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.com",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.com",
    }
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def make_repository(folder: Path, files: Mapping[str, str], branch: str = "main") -> Path:
    """A bare repository whose branch holds the files."""
    bare, work = folder / "iac.git", folder / "work"
    work.mkdir(parents=True)
    git(folder, "init", "--quiet", "--bare", f"--initial-branch={branch}", str(bare))
    git(work, "init", "--quiet", f"--initial-branch={branch}")
    for path, text in files.items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_bytes(text.encode())
    git(work, "add", "--all")
    git(work, "-c", "core.autocrlf=false", "commit", "--quiet", "--message=first commit")
    git(work, "push", "--quiet", str(bare), branch)
    return bare


FILTERING = {"uploadpack.allowFilter": "true"}


def serve_repository(folder: Path, files: Mapping[str, str], settings: Mapping[str, str] = FILTERING) -> Path:
    bare = make_repository(folder, files)
    for name, value in {"http.receivepack": "true", **settings}.items():
        git(bare, "config", name, value)
    return bare
