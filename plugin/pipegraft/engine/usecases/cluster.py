"""Brings applications about as objects of a Kubernetes cluster, whose own controllers run them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pipegraft.appspec.rendering.kubernetes import render_kubernetes
from pipegraft.appspec.resources.binding import Platform
from pipegraft.appspec.spec import Resolved
from pipegraft.core.errors import PipegraftError
from pipegraft.engine.usecases.application import Application, Desired, Place, Turn
from pipegraft.engine.usecases.status import Outcome, describe_cluster
from pipegraft.engine.workloads import Plan
from pipegraft.gate.ports import Verdict

__all__ = ["ApplicationObjects", "ClusterOperator"]

_AGAIN = 30.0
"""Seconds after which everything is applied again, whatever the watches told."""
_RETRY = 2.0
"""Seconds before something that went wrong is tried again."""

Objects = Sequence[Mapping[str, Any]]


class ApplicationObjects(Protocol):
    """One application's objects in a cluster, as the kubernetes runtime applies them."""

    def apply(self, objects: Objects) -> list[str]:
        """Make the cluster have these; answers what was refused."""

    def health(self, objects: Objects) -> Verdict:
        """Whether the workloads among them run as declared."""

    def prune(self, objects: Objects) -> list[str]:
        """Delete what belongs to the application and is none of these; answers what was."""


@dataclass
class _Run:
    """One application's work."""

    objects: ApplicationObjects
    namespace: str
    job: Future[Outcome] | None = None
    outcome: Outcome = field(default_factory=lambda: Outcome(""))
    pruned: str = ""
    seen: int = -1
    due: float = 0.0


class ClusterOperator:
    """`Operator` over a cluster. What it applied goes on when the engine ends.

    Arguments:
        connect: application and namespace → its objects.
        submit: has work done beside the loop.
        platform: what resources are provided by.
        report: takes one line for people on everything that is deleted.
    """

    def __init__(
        self,
        connect: Callable[[str, str], ApplicationObjects],
        submit: Callable[[Callable[[], Outcome]], Future[Outcome]],
        platform: Platform,
        *,
        report: Callable[[str], None] = lambda _line: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.platform = platform
        self._connect = connect
        self._submit = submit
        self._report = report
        self._clock = clock
        self._changes = 0
        self._runs: dict[Place, _Run] = {}

    def changed(self) -> None:
        """Something in the cluster did; may be called from any thread."""
        self._changes += 1

    def understand(self, resolved: Resolved) -> Plan:
        render_kubernetes(resolved)
        return Plan()

    def turn(self, applications: Sequence[Application]) -> Sequence[Turn]:
        return [self._turn(application) for application in applications]

    def end(self) -> None:
        """Nothing: the cluster runs it, and goes on."""

    def _turn(self, application: Application) -> Turn:
        desired = application.desired
        if desired is None:
            return Turn(application, describe_cluster(application, Outcome("")))
        run = self._run(application.place, desired)
        if run.job is not None and run.job.done():
            run.outcome, run.job = run.job.result(), None
            failed = run.outcome.trouble or run.outcome.refused
            run.due = self._clock() + (_RETRY if failed else _AGAIN)
        stale = run.outcome.revision != desired.revision or run.seen != self._changes
        if run.job is None and (stale or self._clock() >= run.due):
            run.seen = self._changes
            run.job = self._submit(lambda: self._work(run, desired))
        if run.outcome.done and run.outcome.revision == desired.revision:
            application = replace(application, live=desired.revision)
        return Turn(application, describe_cluster(application, run.outcome))

    def _run(self, place: Place, desired: Desired) -> _Run:
        namespace = desired.resolved.namespace
        run = self._runs.get(place)
        if run is None or run.namespace != namespace:
            run = self._runs[place] = _Run(self._connect(desired.name, namespace), namespace)
        return run

    def _work(self, run: _Run, desired: Desired) -> Outcome:
        """Apply, look, and once all is well delete what is no longer declared."""
        revision = desired.revision
        objects = render_kubernetes(desired.resolved, revision)
        refused: tuple[str, ...] = ()
        verdict = None
        try:
            refused = tuple(run.objects.apply(objects))
            verdict = run.objects.health(objects)
            if Outcome(revision, refused, verdict).done and run.pruned != revision:
                for gone in run.objects.prune(objects):
                    self._report(f"{desired.name}: deleted {gone}")
                run.pruned = revision
        except PipegraftError as error:
            return Outcome(revision, refused, verdict, str(error))
        return Outcome(revision, refused, verdict)
