"""What came of applying an application to a cluster."""

from __future__ import annotations

from dataclasses import dataclass

from pipegraft.gate.ports import State, Verdict

__all__ = ["Outcome"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of applying a spec.

    Arguments:
        refused: objects that the cluster, or their owner, did not let us apply.
        verdict: how the workloads are; None before anybody could look.
        trouble: why the cluster could not be worked with.
    """

    revision: str
    refused: tuple[str, ...] = ()
    verdict: Verdict | None = None
    trouble: str = ""

    @property
    def done(self) -> bool:
        """Whether everything declared runs and nothing else is left."""
        ready = self.verdict is not None and self.verdict.state is State.SUCCEEDED
        return ready and not self.refused and not self.trouble
