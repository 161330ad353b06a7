"""How long a command takes as a user starts it, and how much of that the processors were busy."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

__all__ = ["program", "seconds_of"]

_ROUNDS = 5


def program() -> str:
    """The program beside this interpreter."""
    return str(Path(sys.executable).with_name("pipegraft"))


def seconds_of(command: list[str]) -> tuple[float, float]:
    """Median of the time and of the processor time of a command, its caches filled.

    On a machine that does other work the second is what the command itself costs.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    walls, busy = [], []
    for _ in range(_ROUNDS + 1):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, cwd=tempfile.gettempdir(), env=environment
        )
        walls.append(time.perf_counter() - started)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        busy.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(walls[1:]), statistics.median(busy[1:])
