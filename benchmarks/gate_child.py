"""A gate for many applications, in a process of its own, so that its memory can be told."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.ports import RecordingProgress
from pipegraft.gate.adapters.argocd import pipegraft_gitops_engines
from pipegraft.gate.ports import EngineRequest
from pipegraft.gate.waiting import Patience, follow_revision


class History:
    """Knows one commit."""

    def contains(self, revision: str, at: str) -> bool:
        """Whether they are the same."""
        return revision == at


def main(kubeconfig: str, namespace: str, target: str, count: str) -> None:
    """Wait for all applications of a team, and tell what it took."""
    plugin = next(iter(pipegraft_gitops_engines()))
    options = plugin.options.model_validate(
        {"kubeconfig": kubeconfig, "namespace": namespace, "selector": {"team": "shop"}, "expect": int(count)}
    )
    waited = follow_revision(
        plugin.connect(options, EngineRequest(Path())),
        plugin.verdict,
        history=History(),  # type: ignore[arg-type]
        target=target,
        patience=Patience(300.0),
        clock=SystemClock(),
        progress=RecordingProgress(),
    )
    ended = time.monotonic()
    told = {
        "state": str(waited.verdict.state) if waited.verdict else str(waited.error),
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "ended": ended,
    }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
