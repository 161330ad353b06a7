"""The assessment of one repository, as a user starts it: wall time and processor time."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.commands import program, seconds_of

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
    wall, busy = seconds_of([program(), "assess", str(folder)])
    print(f"{title:<40}{wall:6.2f} s  {busy:6.2f} s of processor   bar 1.00 s")


if __name__ == "__main__":
    main()
