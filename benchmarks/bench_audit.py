"""The audit of an IaC repository of 10,000 commits, as a user starts it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.commands import program, seconds_of

COMMITS = 10_000
STEPS = ("prepare", "1/3 weight=5", "2/3 weight=25", "3/3 weight=50", "promote")


def main() -> None:
    """Print how long each question takes, against git's own listing of the history."""
    with tempfile.TemporaryDirectory(prefix="bench-audit-") as name:
        folder = Path(name) / "iac.git"
        make_repository(folder, COMMITS)
        listing = ["git", "-C", str(folder), "log", "--first-parent", "--raw", "main"]
        base = row("git log --raw of it", listing)
        questions = {
            "newest release": [],
            "release 3 of two thousand": ["--release", "3"],
            "a digest": ["--digest", digest("web", 700)],
            "delivery figures": ["--dora"],
        }
        for title, words in questions.items():
            row(title, [program(), "audit", str(folder), "--offline", *words], base)


def row(title: str, command: list[str], base: float = 0.0) -> float:
    """Measure and print; answers the seconds."""
    wall, busy = seconds_of(command)
    ratio = f"{wall / base:6.1f} x   bar 2.00 s" if base else ""
    print(f"{title:<34}{wall:7.2f} s {busy:6.2f} s of processor {ratio}")
    return wall


def make_repository(folder: Path, commits: int) -> None:
    """Releases of a component of five, one after another, each by gray steps; every tenth is taken back."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(folder)], check=True)
    importer = ["git", "-C", str(folder), "fast-import", "--quiet"]
    environment = {**os.environ, "LC_ALL": "C"}
    stream = b"".join(history(commits))
    subprocess.run(importer, input=stream, check=True, env=environment)


def history(commits: int) -> Iterator[bytes]:
    """The commits for git-fast-import(1)."""
    images = dict.fromkeys(("web", "pricing", "governance", "search", "cart"), 0)
    made, number = 0, 0
    while made < commits:
        number += 1
        changed = list(images)[number % len(images)]
        failed = number % 10 == 0
        steps = ("prepare", "1/3 weight=5", "rollback") if failed else STEPS
        for step in steps[: commits - made]:
            made += 1
            weight = step.partition("=")[2] or "0"
            gray = "" if step in ("promote", "rollback") else block(changed, number, weight)
            if step == "promote":
                images[changed] = number
            text = app_file(images, number if step == "promote" else number - 1) + gray
            yield commit(made, number, step, text)


def commit(made: int, number: int, step: str, text: str) -> bytes:
    """One commit that writes the environment's file."""
    source = source_of(number)
    message = (
        f"shop: {step} of release {number}\n\nerrors: 0.1% against 0.1%\n\nPipegraft-App: shop\n"
        f"Pipegraft-Environment: production\nPipegraft-Release: {number}\nPipegraft-Source-Commit: {source}\n"
        f"Pipegraft-Pipeline: https://ci.example.com/{number}\nPipegraft-Step: {step}\n"
    )
    who = f"Pipegraft <p@example.com> {1_600_000_000 + 3600 * made} +0000"
    return (
        f"commit refs/heads/main\nauthor {who}\ncommitter {who}\ndata {len(message)}\n{message}"
        f"M 644 inline environments/production.yaml\ndata {len(text)}\n{text}\n"
        f"M 644 inline app.yaml\ndata 10\napp: shop\n\n"
    ).encode()


def app_file(images: dict[str, int], number: int) -> str:
    """What serves."""
    lines = "".join(
        f"  {name}:\n    image: {reference(name, version)}\n    replicas: 3   # enough\n"
        for name, version in images.items()
    )
    return f"release: {{number: {max(number, 0)}, source: {source_of(number)}}}\ncomponents:\n{lines}"


def block(name: str, number: int, weight: str) -> str:
    """What is being released."""
    return (
        f"gray:\n  release: {{number: {number}, source: {source_of(number)}}}\n"
        f"  weight: {weight}\n  phase: step\n"
        f"  components:\n    {name}: {{image: {reference(name, number)}}}\n"
    )


def source_of(number: int) -> str:
    """Commit of the source repository that a release comes from."""
    return hashlib.sha1(str(number).encode(), usedforsecurity=False).hexdigest()


def reference(name: str, version: int) -> str:
    """An image pinned by digest."""
    return f"registry.example.com/shop/{name}@{digest(name, version)}"


def digest(name: str, version: int) -> str:
    """A digest that follows from both."""
    return f"sha256:{hashlib.sha256(f'{name} {version}'.encode()).hexdigest()}"


if __name__ == "__main__":
    main()
