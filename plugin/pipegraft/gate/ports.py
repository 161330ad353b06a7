"""GitOps engines: what one says about the application we released."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pipegraft.core.ports import Clock, FakeClock
from pipegraft.core.stage import Port

__all__ = [
    "ENGINE",
    "ConnectedEngine",
    "EngineRequest",
    "FakeEngine",
    "GitOpsEngine",
    "Resource",
    "RunImage",
    "State",
    "Status",
    "Verdict",
    "VerdictRule",
]


class State(StrEnum):
    """What the gate concludes from one look."""

    SUCCEEDED = "succeeded"
    PROGRESSING = "progressing"
    BLOCKED = "blocked"
    SUSPENDED = "suspended"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing the verdict is about, as a line of a table.

    Arguments:
        name: ``Kind namespace/name``.
        state: its own conclusion.
        message: why.
        kind: of the Kubernetes object; empty for what is none.
    """

    name: str
    state: State
    message: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class RunImage:
    """An image in the pod template of a workload as it stands in the cluster.

    Arguments:
        workload: ``Kind namespace/name``.
        image: as the template has it.
        skipped: why the engine leaves the workload or its images as they are; empty if nothing says so.
        held: why pods of an older template stay though the engine is done, and what to do; empty if none do.
    """

    workload: str
    image: str
    skipped: str = ""
    held: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A conclusion with its evidence.

    Arguments:
        state: the conclusion.
        reason: one sentence that names the resource and its condition.
        evidence: lines that prove it: conditions, events, the tail of a log.
        resources: what it is drawn from.
        images: what the workloads run that were looked at; None of an engine that compares them itself.
        outside: an outside system, not the release, is why it failed: the same may succeed later.
    """

    state: State
    reason: str
    evidence: tuple[str, ...] = field(default=())
    resources: tuple[Resource, ...] = field(default=())
    images: tuple[RunImage, ...] | None = ()
    outside: bool = False


Status = Mapping[str, Any]
"""What the engine reported, as plain JSON values."""

VerdictRule = Callable[[Status, Callable[[str], bool]], Verdict]
"""Pure: status and "is this revision our target or a descendant of it?" → verdict."""


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """What an engine is connected for.

    Arguments:
        root: the source repository's folder, from which relative paths count.
        repository: URL of the IaC repository.
        branch: the branch the engine should follow.
        environment: its name.
    """

    root: Path
    repository: str = ""
    branch: str = "main"
    environment: str = ""


class GitOpsEngine(Protocol):
    """What one engine says of what was released."""

    def observe(self, *, anew: bool = False) -> Status:
        """What the engine reports now.

        Arguments:
            anew: read again, whatever a stream of changes has told so far.

        Raises:
            Unreachable, AccessDenied: the engine did not answer or refused.
            UsageError: it does not know the application.
        """

    def request_sync(self) -> None:
        """Ask it to look at the repository now instead of at its next poll."""

    def wait(self, seconds: float) -> None:
        """Return when `observe` may have news, after `seconds`, rounded up, at the latest; never raises."""

    def explain(self) -> Sequence[str]:
        """What more there is to know, asked once at a bad end: events, last lines of logs; never raises."""


class ConnectedEngine(NamedTuple):
    """The engine of an environment.

    Arguments:
        engine: what is asked.
        rule: reads its status.
        settle: seconds that success must hold before it counts.
    """

    engine: GitOpsEngine
    rule: VerdictRule
    settle: float


ENGINE: Port[[str], ConnectedEngine] = Port("gitops-engine")
"""The GitOps engine that applies an environment."""


class FakeEngine:
    """Reports a scripted sequence of statuses, the last one for ever.

    Arguments:
        statuses: what each call of `observe` answers; an exception is raised.
        clock: what `wait` passes the time on.
        explanation: what `explain` answers.
    """

    def __init__(
        self,
        statuses: Sequence[Status | Exception],
        clock: Clock | None = None,
        explanation: Sequence[str] = (),
    ) -> None:
        self._statuses = list(statuses)
        self._clock = clock or FakeClock()
        self._explanation = tuple(explanation)
        self.sync_requests = 0

    def observe(self, *, anew: bool = False) -> Status:
        del anew  # it knows no stream
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        if isinstance(status, Exception):
            raise status
        return status

    def request_sync(self) -> None:
        self.sync_requests += 1

    def wait(self, seconds: float) -> None:
        self._clock.sleep(seconds)

    def explain(self) -> Sequence[str]:
        return self._explanation
