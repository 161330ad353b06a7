"""Every file of the corpus in many variants: grafted, grafted again, taken out; what is refused, and why."""

from __future__ import annotations

import os
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Literal

from pipegraft.app.plugins import shipped_plugins
from pipegraft.ci.gitlab import system as gitlab
from pipegraft.ci.gitlab.configuration import load
from pipegraft.ci.hooks import Injection, InjectionRequest, InjectOptions
from pipegraft.ci.jenkins import system as jenkins
from pipegraft.core.errors import PipegraftError
from pipegraft.core.hooks import STAGES
from pipegraft.core.planning import Plan, PlannedStage
from pipegraft.text.groovy import parse

CORPUS = Path(os.environ.get("PIPEGRAFT_CORPUS", Path(__file__).parents[2] / "shared" / "corpus"))
VARIANTS: dict[str, Callable[[str, str], str]] = {
    "as it is": lambda text, _mark: text,
    "CRLF": lambda text, _mark: text.replace("\n", "\r\n"),
    "byte-order mark": lambda text, _mark: f"\ufeff{text}",
    "no line end at its end": lambda text, _mark: text.rstrip("\n"),
    "blank lines around": lambda text, _mark: f"\n\n{text}\n\n\n",
    "comments around": lambda text, mark: f"{mark} first\n{text}\n{mark} last\n",
}
"""Of a text, given the mark of a comment."""
NO_PIPELINE = re.compile(r"found (no jobs and no keywords|library code|a \w+$|several documents)|comes whole")
"""Of refusals of files that hold no pipeline to edit: parts, library code, one call of a library."""
PLANS = [("production",), ("staging", "production")]
MODES: list[Literal["include", "child"]] = ["include", "child"]


@dataclass
class _Tally:
    """What came of one CI system's files."""

    runs: int = 0
    without: int = 0
    wrong: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


def main() -> None:
    """Print a table: name, runs, not exact, refused, bars; then every refusal."""
    print(
        f"{'':<10}{'runs':>7}{'no pipeline':>13}{'grafted':>9}{'not exact':>11}{'refused':>9}{'median':>12}"
    )
    for name, file, comment in (("gitlab", ".gitlab-ci.yml", "#"), ("jenkins", "Jenkinsfile", "//")):
        tally = _run(name, file, comment)
        held = tally.runs - tally.without
        refused = sum(tally.refused.values())
        print(
            f"{name:<10}{tally.runs:>7}{tally.without:>13}{len(tally.seconds):>9}{len(tally.wrong):>11}"
            f"{100 * refused / max(held, 1):>8.1f}%{1000 * statistics.median(tally.seconds or [0]):>9.1f} ms"
        )
        for wrong in tally.wrong:
            print(f"  NOT EXACT {wrong}")
        for why, count in tally.refused.most_common():
            print(f"  {count:>4} times {why}")
    print("bars: none not exact, refused under 3% of files that hold a pipeline, median under 20 ms")


def _run(name: str, file: str, comment: str) -> _Tally:
    system = next(iter((gitlab if name == "gitlab" else jenkins).pipegraft_ci_systems()))
    templates = system.templates(tuple(shipped_plugins().all(STAGES).values()))
    tally = _Tally()
    paths = sorted((CORPUS / name).glob("*")) or [Path(__file__).parents[1] / "examples/shop" / file]
    for path, (variant, change), environments, mode in product(paths, VARIANTS.items(), PLANS, MODES):
        text = change(path.read_bytes().decode(), comment)
        said = f"{path.name}, {variant}, {len(environments)} environments, {mode}"
        files = {file: text}

        request = InjectionRequest(
            file, text, _plan(environments), InjectOptions(mode=mode), templates=templates, read=files.get
        )
        tally.runs += 1
        load.cache_clear()
        parse.cache_clear()
        try:
            started = time.process_time()
            injection = system.inject(request)
            seconds = time.process_time() - started
        except PipegraftError as error:
            why = str(error).partition("\n")[0]
            if NO_PIPELINE.search(why):
                tally.without += 1
            else:
                tally.refused[f"{path.name}: {re.sub(r'^[^ ]*: ', '', why)[:90]}"] += 1
            continue
        tally.seconds.append(seconds)
        _take(files, injection)
        again = system.inject(replace(request, text=files[file]))
        _take(files, system.eject(file, files[file], files.get))
        if again.files or files != {file: text} or not injection.events:
            tally.wrong.append(said)
    return tally


def _take(files: dict[str, str], injection: Injection) -> None:
    for path, text in injection.files.items():
        if text is None:
            del files[path]
        else:
            files[path] = text


def _plan(environments: tuple[str, ...]) -> Plan:
    return Plan("shop", tuple(_planned(environments)))


def _planned(environments: tuple[str, ...]) -> Iterator[PlannedStage]:
    before = PlannedStage("image-build")
    yield before
    for environment in environments:
        for stage in ("iac-bump", "sync-gate", "gray-release"):
            before = PlannedStage(stage, environment, (before.id,))
            yield before


if __name__ == "__main__":
    main()
