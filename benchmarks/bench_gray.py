"""Two hundred gray releases at once in one process: how much memory they take (bar: under 300 MB)."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pipegraft.appspec.environment_file import bump
from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.delivery import Delivery
from pipegraft.core.ports import RecordingProgress
from pipegraft.core.release import (
    EnvironmentRelease,
    FakeReleaseStore,
    IacCommit,
    Release,
    ReleaseMark,
    Source,
)
from pipegraft.core.stage import StageContext
from pipegraft.gate.ports import State, Status, Verdict
from pipegraft.gray.judging.sequential import sequential
from pipegraft.gray.observation import ArmCounts, Histogram
from pipegraft.gray.ports import Arms, FakeSource, MetricSource
from pipegraft.gray.stage import GrayReleaseInputs, run
from pipegraft.iac.ports import FakeIacRepository
from pipegraft.testing.stage_suite import FakeConnections

RELEASES = 200
BAR = 300
PATH = "environments/production.yaml"
STABLE = "release: {number: 12, source: abc}\ncomponents:\n  web: {image: registry/web@sha256:1}\n"
SOURCE = Source(commit="ab" * 20, number=13)
BOUNDS = tuple(0.001 * 1.5**step for step in range(22))


class World:
    """What one release touches: everything of its own."""

    def __init__(self) -> None:
        mark = ReleaseMark(number=13, source=SOURCE.commit)
        made = bump(STABLE, {"web": "registry/web@sha256:2"}, mark, gray=True, file=PATH)
        self.branch = FakeIacRepository({PATH: made.text}, time.time)
        latency = Histogram(BOUNDS, (100.0,) * (len(BOUNDS) + 1))
        arm = ArmCounts(latency.total, errors=5, latency=latency)
        self.sources: dict[str, MetricSource] = {
            "errors": FakeSource([Arms(arm, ArmCounts(230, errors=0))]),
            "latency": FakeSource([Arms(arm, arm)]),
        }

    def observe(self, *, anew: bool = False) -> Status:
        del anew
        return {"revision": self.branch.tip()}

    def request_sync(self) -> None:
        """It always looks."""

    def connections(self) -> FakeConnections:
        """What the stage opens."""
        return FakeConnections(
            branch=self.branch, deployed=self, rule=_verdict, decides=sequential, sources=self.sources
        )


def _verdict(status: Status, at_target: Callable[[str], bool]) -> Verdict:
    return Verdict(State.SUCCEEDED if at_target(status["revision"]) else State.PROGRESSING, "as committed")


def _delivery() -> Delivery:
    metrics = [{"source": "fake"}, {"source": "fake", "name": "latency", "kind": "latency"}]
    gray = {"steps": [1, 5, 10, 25, 50], "interval": "2s", "warm-up": "0s", "metrics": metrics}
    gray["weight-tolerance"] = 1000  # the scripted requests know nothing of weights
    return Delivery.model_validate(
        {
            "app": "shop",
            "registry": "registry",
            "components": {"web": {"path": "web"}},
            "iac": {"repository": "iac.git"},
            "environments": {"production": {"gate": {"engine": "fake"}, "gray": gray}},
        }
    )


def _release(delivery: Delivery, ended: list[str]) -> None:
    world = World()
    bumped = IacCommit(commit=world.branch.tip(), path=PATH, outcome="written")
    record = Release(app="shop", source=SOURCE, environments={"production": EnvironmentRelease(bump=bumped)})
    store = FakeReleaseStore(record)
    context = StageContext(
        delivery, Path(), "production", world.connections(), store, SystemClock(), RecordingProgress()
    )
    run(context, GrayReleaseInputs())
    ended.append(store.release.environments["production"].outcome)


def main() -> None:
    """Print the table."""
    delivery, ended = _delivery(), list[str]()
    before = _megabytes()
    began = time.perf_counter()
    threads = [threading.Thread(target=_release, args=(delivery, ended)) for _ in range(RELEASES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = _megabytes()
    print(f"{RELEASES} releases at once, 5 steps, 2 metrics: {ended.count('promoted')} promoted")
    print(f"{'peak memory, MB':24}{after:8.0f}   bar {BAR} ({before:.0f} before they began)")
    print(f"{'seconds':24}{time.perf_counter() - began:8.1f}")


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
