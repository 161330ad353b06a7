"""What a guarded IaC repository holds, and pushes to it; the repository itself is the fixture `git`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
A, B = f"r/web@sha256:{'a' * 64}", f"r/web@sha256:{'b' * 64}"
APP = "app: shop\ncomponents:\n  web: {ports: {http: 80}}\n"
PATH = "environments/production.yaml"
STABLE = f"release: {{number: 12, source: x}}\ncomponents: {{web: {{image: '{A}'}}}}\n"
GRAY = f"""{STABLE}\
gray: {{release: {{number: 13, source: y}}, weight: W, phase: step, components: {{web: {{image: '{B}'}}}}}}
"""
TOKEN = "glpat-" + "x" * 20
RULES = "pushers: {tester: ['environments/*', 'app.yaml', '.pipegraft/*'], '*': []}\ngray-steps: [5, 25]\n"

Git = Callable[..., subprocess.CompletedProcess[str]]


def save(git: Git, clone: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        (clone / path).write_text(text)
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message=change")


def push(git: Git, clone: Path, *steps: Mapping[str, str], force: bool = False) -> str:
    """Commit each step, push them together; answers what the server said if it refused, else nothing."""
    for files in steps:
        save(git, clone, files)
    done = git("push", *(["--force"] if force else []), "origin", "main")
    return done.stderr if done.returncode else ""


def gray(weight: int, number: int = 13) -> dict[str, str]:
    return {PATH: GRAY.replace("W", str(weight)).replace("13", str(number))}
