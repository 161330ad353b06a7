"""The assessment of one repository, as a user starts it: wall time and processor time."""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 7
FILES = 1_000
ROOT = Path(__file__).parent.parent


def main() -> None:
    """Print both for the example and for a repository of a thousand files."""
    with tempfile.TemporaryDirectory(prefix="bench-assess-") as name:
        folder = Path(name)
        shop = make_shop(folder)
        row("the example with its IaC repository", shop)
        for number in range(FILES):
            file = shop / "src" / f"p{number % 20}" / f"module_{number}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"# {number}\n" + "def add(a, b):\n    return a + b  # a line of code\n\n\n" * 60)
        row(f"the same with {FILES} files", shop)


def make_shop(folder: Path) -> Path:
    """The example beside its IaC repository, both of git."""
    for name, source in (("shop", ROOT / "examples/shop"), ("shop-iac.git", ROOT / "examples/shop/iac")):
        shutil.copytree(source, folder / name)
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], [*_WHO, "commit", "-qm", "first"]):
            subprocess.run(["git", "-C", str(folder / name), *words], check=True)
    return folder / "shop"


_WHO = ("-c", "user.name=bench", "-c", "user.email=bench@example.com")


def row(title: str, folder: Path) -> None:
    """Measure and print."""
    command = [str(Path(sys.executable).with_name("pipegraft")), "assess", str(folder)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    walls, processor = [], []
    for _ in range(ROUNDS + 1):  # the first one fills caches
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(time.perf_counter() - started)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    wall, busy = statistics.median(walls[1:]), statistics.median(processor[1:])
    print(f"{title:<40}{wall:6.2f} s  {busy:6.2f} s of processor   bar 1.00 s")


if __name__ == "__main__":
    main()
