"""The gate: from the moment the engine tells the news to the end of the wait, against plain polling."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _pytest.outcomes import Skipped
from benchmarks import gate_kubernetes

from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.ports import RecordingProgress
from pipegraft.engine.adapters.gitops import EmbeddedEngine, EmbeddedOptions, verdict
from pipegraft.engine.adapters.server import StatusServer
from pipegraft.gate.waiting import Patience, wait_for_revision
from pipegraft.iac.ports import FakeIacRepository

ROUNDS = 7
AFTER = 4.0
"""Seconds until the news come: by then a polling gate looks every second or two."""


class Polling(EmbeddedEngine):
    """Sleeps between two looks, as gates without a watch do."""

    def wait(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)


class Source:
    """An engine that has a revision live from some moment on."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._news = threading.Condition()
        self.since: float | None = None

    def names(self) -> Sequence[str]:
        """One application."""
        return ["shop"]

    def status(self, _name: str) -> dict[str, Any]:
        """Live once it is told to be."""
        live = self._target if self.since else ""
        revision = {"observed": self._target, "desired": self._target, "live": live}
        health = "healthy" if live else "progressing"
        return {
            "revision": revision,
            "health": health,
            "message": health,
            "problems": [],
            "trouble": [],
            "resources": [],
        }

    def become_live(self) -> None:
        """Tell the news."""
        with self._news:
            self.since = time.perf_counter()
            self._news.notify_all()

    def sync(self, _push: object = None) -> Sequence[str]:
        """Nothing to look at."""
        return []

    def wait(self, seconds: float) -> None:
        """Wait for the news."""
        with self._news:
            self._news.wait(seconds)


def main() -> None:
    """Print a table: name, ours, baseline, ratio, bar."""
    print(f"{'':<44}{'ours':>10}{'baseline':>10}{'ratio':>8}   bar")
    ours = statistics.median(latency(EmbeddedEngine) for _ in range(ROUNDS))
    polled = statistics.median(latency(Polling) for _ in range(ROUNDS))
    name = "news to the end of the gate (ms)"
    print(f"{name:<44}{ours:>10.1f}{polled:>10.1f}{polled / ours:>8.0f}   under 100 ms")
    print("on a Kubernetes API server:")
    try:
        for row, figure, unit, bar in gate_kubernetes.rows():
            print(f"{row:<44}{figure:>10.1f} {unit:<4}{bar}")
    except Skipped as error:
        print(f"  skipped: {error}")


def latency(kind: type[EmbeddedEngine]) -> float:
    """Milliseconds from the news to the end of one wait."""
    history = FakeIacRepository({"app.yaml": "app: shop"})
    source = Source(history.tip())
    with StatusServer("127.0.0.1", 0, source, lambda: "") as server:
        engine = kind(EmbeddedOptions(application="shop", url=server.url), Path())
        threading.Timer(AFTER, source.become_live).start()
        wait_for_revision(
            engine,
            verdict,
            history=history,
            target=history.tip(),
            patience=Patience(60.0),
            clock=SystemClock(),
            progress=RecordingProgress(),
        )
        assert source.since is not None
        return (time.perf_counter() - source.since) * 1000


if __name__ == "__main__":
    main()
