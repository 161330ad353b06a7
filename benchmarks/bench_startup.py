"""How long commands take beyond their work: the shop's example, where there is nothing to do any more."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROUNDS = 11
SHOP = Path(__file__).parents[1] / "examples" / "shop"
IDENTITY = {f"GIT_{who}_{what}": "t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
PROGRAM = str(Path(sys.executable).with_name("pipegraft"))
BARS: Sequence[tuple[str, float]] = (
    ("--version", 0.5),
    ("--help", 0.5),
    ("guard app.yaml environments/production.yaml", 0.5),
    ("plan", 1.0),
    ("run image-build", 1.0),
    ("run iac-bump --env production", 1.0),
)
"""Command, and the seconds it may take."""


def main() -> None:
    """Print the median of each, its processor time, and its bar."""
    with tempfile.TemporaryDirectory() as folder:
        source, draft = Path(folder, "shop"), Path(folder, "draft")
        shutil.copytree(SHOP, source, ignore=shutil.ignore_patterns("iac", ".pipegraft", "__pycache__"))
        shutil.copytree(SHOP / "iac", draft)
        for place in (source, draft):
            _run(["git", "init", "-qb", "main"], place)
            _run(["git", "add", "-A"], place)
            _run(["git", "commit", "-qm", "first"], place)
        _run(["git", "clone", "-q", "--bare", str(draft), str(Path(folder, "shop-iac.git"))], source)
        for words in ("run image-build", "run iac-bump --env production"):  # from here on nothing changes
            _run([PROGRAM, *words.split()], source)
        for words, bar in BARS:
            _measure(words, draft if words.startswith("guard") else source, bar)


def _measure(words: str, folder: Path, bar: float) -> None:
    seconds, processor = [], []
    for _ in range(ROUNDS):
        began, before = time.perf_counter(), os.times()
        _run([PROGRAM, *words.split()], folder)
        after = os.times()
        seconds.append(time.perf_counter() - began)
        spent = after.children_user + after.children_system
        processor.append(spent - before.children_user - before.children_system)
    wall, busy = statistics.median(seconds), statistics.median(processor)
    print(f"pipegraft {words:<44} {wall:5.2f} s  {busy:5.2f} s of processor  bar {bar:.1f} s")


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env={**os.environ, **IDENTITY})


if __name__ == "__main__":
    main()
