"""Grafting delivery onto 400 GitLab pipelines, against ruamel.yaml reading and writing the same files."""

from __future__ import annotations

import io
import os
import statistics
import time
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipegraft.app.plugins import shipped_plugins
from pipegraft.ci.gitlab import system as gitlab
from pipegraft.ci.gitlab.inject import inject
from pipegraft.ci.hooks import InjectionRequest
from pipegraft.core.errors import PipegraftError
from pipegraft.core.hooks import STAGES
from pipegraft.core.planning import Plan, PlannedStage

PIPELINES = 400
ROOT = ".gitlab-ci.yml"


def main() -> None:
    """Print a table: name, ours, baseline, ratio, bar."""
    texts = [text for text in _pipelines() if _round_trip(text) is not None]
    templates = gitlab.make_templates(tuple(shipped_plugins().all(STAGES).values()))
    plan = _plan("staging", "production")
    ours, theirs, refused = [], [], 0
    for text in texts:
        try:
            ours.append(_seconds(lambda text=text: _inject(text, plan, templates)))
        except PipegraftError:
            refused += 1
            continue
        theirs.append(_round_trip(text) or 0.0)
    mine, baseline = 1000 * statistics.median(ours), 1000 * statistics.median(theirs)
    print(f"{'':<44}{'ours':>10}{'ruamel':>10}{'ratio':>8}   bar")
    what = f"{len(ours)} pipelines injected, median (ms)"
    print(f"{what:<44}{mine:>10.1f}{baseline:>10.1f}{mine / baseline:>8.2f}   under 20 ms")
    print(f"{'refused':<44}{refused:>10}")


def _inject(text: str, plan: Plan, templates: dict[str, str]) -> None:
    inject(InjectionRequest(file=ROOT, text=text, plan=plan, templates=templates))


def _seconds(work: object) -> float:
    started = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - started


def _round_trip(text: str) -> float | None:
    """Seconds ruamel.yaml takes to read and write a text, None if it cannot."""
    yaml = YAML()
    started = time.perf_counter()
    try:
        yaml.dump_all(list(yaml.load_all(text)), io.StringIO())
    except (YAMLError, ValueError, NotImplementedError, AssertionError):  # how ruamel.yaml gives up
        return None
    return time.perf_counter() - started


def _plan(*environments: str) -> Plan:
    planned = [PlannedStage("image-build")]
    for environment in environments:
        for stage in ("iac-bump", "sync-gate", "gray-release"):
            planned.append(PlannedStage(stage, environment, (planned[-1].id,)))
    return Plan("shop", tuple(planned))


def _pipelines() -> list[str]:
    """Real pipelines where they are at hand, else made ones; no two the same, so nothing is cached."""
    folder = Path(os.environ.get("PIPEGRAFT_CORPUS", Path(__file__).parents[2] / "shared" / "corpus"))
    real = [path.read_bytes().decode() for path in sorted((folder / "gitlab").glob("*"))]
    texts = real or [_made(jobs) for jobs in (3, 10, 30)]
    return [f"{texts[number % len(texts)]}\n# {number}\n" for number in range(PIPELINES)]


def _made(jobs: int) -> str:
    body = "".join(
        f"\njob-{number}: # one of many\n  stage: test\n  script:\n    - make {number}\n"
        for number in range(jobs)
    )
    return f"stages: [build, test, deploy]\n{body}"


if __name__ == "__main__":
    main()
