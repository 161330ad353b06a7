"""Grafting onto Jenkinsfiles: the time a file takes."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

from pipegraft.ci.hooks import InjectionRequest
from pipegraft.ci.jenkins.injection import eject, inject
from pipegraft.core.errors import EditRefused
from pipegraft.core.planning import Plan, PlannedStage
from pipegraft.text.groovy import parse

CORPUS = Path(os.environ.get("PIPEGRAFT_CORPUS", Path(__file__).parents[1] / "../shared/corpus")) / "jenkins"
EXAMPLE = Path(__file__).parents[1] / "examples/shop/Jenkinsfile"
FILES = 400
PLAN = Plan(
    "shop",
    (
        PlannedStage("image-build"),
        *(PlannedStage(stage, "production") for stage in ("iac-bump", "sync-gate", "gray-release")),
    ),
)


def main() -> None:
    """Print a table: name, median and slowest in milliseconds, bar."""
    texts = [path.read_bytes().decode() for path in sorted(CORPUS.glob("*"))] or [EXAMPLE.read_text()]
    injecting: list[float] = []
    ejecting: list[float] = []
    for number in range(FILES):
        text = f"// {number}\n{texts[number % len(texts)]}"  # no two are the same: nothing is remembered
        started = time.perf_counter()
        try:
            injection = inject(InjectionRequest("Jenkinsfile", text, PLAN, version="v1.0.0"))
        except EditRefused:
            continue
        injecting.append(time.perf_counter() - started)
        parse.cache_clear()
        between = time.perf_counter()
        eject("Jenkinsfile", injection.files["Jenkinsfile"] or "")
        ejecting.append(time.perf_counter() - between)
    print(f"{'':<44}{'median':>10}{'slowest':>10}   bar")
    for name, taken in (("inject", injecting), ("eject", ejecting)):
        median, slowest = statistics.median(taken) * 1000, max(taken) * 1000
        bar = "median under 20 ms" if name == "inject" else ""
        print(f"{f'{name}, {len(taken)} Jenkinsfiles (ms)':<44}{median:>10.1f}{slowest:>10.1f}   {bar}")
