"""How long the program takes to start, against an interpreter that does nothing."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 40


def main() -> None:
    """Print both medians and their ratio."""
    program = str(Path(sys.executable).with_name("pipegraft"))
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "pipegraft --version": [program, "--version"],
        "pipegraft --help": [program, "--help"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - started)
    base = statistics.median(seconds["python -c pass"])
    for name, times in seconds.items():
        median = statistics.median(times)
        bar = "  bar 3.0" if name.endswith("--version") else ""
        print(f"{name:<22} {1000 * median:7.1f} ms  {median / base:5.2f} x{bar}")


if __name__ == "__main__":
    main()
