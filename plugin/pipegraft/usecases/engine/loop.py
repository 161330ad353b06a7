"""The engine's loop: look, decide, act, report, and again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipegraft.domain.reconcile import History, Step
from pipegraft.domain.resources.binding import Platform
from pipegraft.domain.workloads import routes
from pipegraft.errors import PipegraftError, Unreachable, UsageError
from pipegraft.ports.clock import Clock
from pipegraft.ports.iac import IacRepository
from pipegraft.ports.resources import ResourceHost
from pipegraft.ports.runtime import Instance, Workload, WorkloadRuntime
from pipegraft.ports.traffic import Route, TrafficRouter
from pipegraft.usecases.engine.application import Application, States
from pipegraft.usecases.engine.entrances import Entrances
from pipegraft.usecases.engine.hosting import Hosted, advance_resources, all_ready, all_usable
from pipegraft.usecases.engine.status import describe
from pipegraft.usecases.engine.watch import Look, Watcher

__all__ = ["Engine", "EngineOptions"]

_TURN = 0.1
"""Seconds between two turns when nothing wakes the loop."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What to apply.

    Arguments:
        environments: names of the environments.
        folder: the app's folder in a repository shared by several, empty for the root.
        poll: seconds between two looks at the repository.
    """

    environments: tuple[str, ...]
    folder: str = ""
    poll: float = 1.0


class Engine:
    """Keeps the environments of one app as its repository declares them.

    Arguments:
        resources: runs what the applications use.
        platform: what resources are provided by.
        fetch: has an image at hand before it is needed; called beside the loop, which it must not hold up.
        report: takes one line for people on everything that changes.
    """

    def __init__(
        self,
        options: EngineOptions,
        *,
        repository: IacRepository,
        runtime: WorkloadRuntime,
        router: TrafficRouter,
        clock: Clock,
        states: States,
        entrances: Entrances,
        resources: ResourceHost,
        platform: Platform,
        fetch: Callable[[str], object] = lambda _image: None,
        report: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._runtime = runtime
        self._router = router
        self._clock = clock
        self._states = states
        self._entrances = entrances
        self._resources = resources
        self._report = report
        self._applications = [states.load(name) for name in options.environments]
        self._history = History()
        self._looks: list[Look] = []
        self._unreachable = ""
        self._said: dict[str, str] = {}
        self._statuses: Mapping[str, dict[str, Any]] = {}
        self._news = threading.Condition()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._in_use: frozenset[str] | None = None
        self.watcher = Watcher(
            repository,
            folder=options.folder,
            environments=options.environments,
            interval=options.poll,
            found=self.take,
            fetch=fetch,
            platform=platform,
        )

    def run(self) -> None:
        """Work until `stop` is called."""
        self.watcher.start()
        while not self._stopping.is_set():
            if self.watcher.defect is not None:
                raise self.watcher.defect
            self.turn()
            self._wake.wait(_TURN)
            self._wake.clear()
        self.watcher.stop()

    def stop(self) -> None:
        """Leave the loop after the current turn; what runs goes on running."""
        self._stopping.set()
        self._wake.set()

    def end_workloads(self) -> None:
        """End every instance and wait until none is left. Call after the loop ended."""
        while instances := self._runtime.observe():
            for instance in instances:
                self._runtime.stop(instance.id)
            self._clock.sleep(_TURN / 2)
        self._resources.end()

    def status(self, name: str) -> dict[str, Any]:
        """What is known of an application.

        Raises:
            UsageError: there is none of that name.
            Unreachable: the engine has just started and knows of none yet.
        """
        statuses = self._statuses
        if not statuses:
            raise Unreachable("the engine has just started and has not looked at a repository yet")
        if name in statuses:
            return statuses[name]
        for environment, status in statuses.items():
            if not status["application"] and name.endswith(f"-{environment}"):
                return status  # its spec was never good, so nothing says what the app is called
        raise UsageError(f"no application '{name}'; there are: {', '.join(sorted(statuses))}")

    def names(self) -> Sequence[str]:
        """The applications known so far."""
        return sorted(self._statuses)

    def wait(self, seconds: float) -> None:
        """Return when the status of an application has changed, after `seconds` at the latest."""
        with self._news:
            self._news.wait(seconds)

    def take(self, look: Look) -> None:
        """Have the next turn act on what a look found; may be called from any thread."""
        self._looks.append(look)  # appending and popping are atomic; the loop takes from the front
        self._wake.set()

    def turn(self) -> None:
        """Take what the watcher found and bring every application one step further."""
        while self._looks:
            self._adopt(self._looks.pop(0))
        instances = self._runtime.observe()
        now = self._clock.now()
        self._history = self._history.observe(instances, now)
        steps = [application.step(instances, self._history, now) for application in self._applications]
        hosted = advance_resources(self._resources, self._applications)
        for (_, step), mine in zip(steps, hosted, strict=True):
            for workload in step.start if all_usable(mine) else ():
                self._start(workload, now)
        trouble = [self._unreachable] if self._unreachable else []
        wanted = [self._routes(application, step) for application, step in steps]
        try:
            self._router.apply([route for group in wanted for route in group])  # each turn: it may have died
        except PipegraftError as error:
            trouble.append(str(error))
        else:
            for _, step in steps:
                for instance in step.stop:
                    self._runtime.stop(instance)
            steps = [
                (application.after(step) if all_ready(mine) else application, step)
                for (application, step), mine in zip(steps, hosted, strict=True)
            ]
        self._save([application for application, _ in steps])
        self._tell(steps, instances, wanted, hosted, trouble)
        self._collect(instances)

    def _adopt(self, look: Look) -> None:
        self._unreachable = look.trouble
        for index, application in enumerate(self._applications):
            spec = look.specs.get(application.environment)
            if not look.revision or spec is None:
                continue
            if isinstance(spec, tuple):
                changed = replace(application, observed=look.revision, problems=spec)
            else:
                changed = replace(application, observed=look.revision, problems=(), desired=spec)
            self._applications[index] = changed
            self._states.save(changed)

    def _start(self, workload: Workload, now: float) -> None:
        try:
            instance = self._runtime.start(workload)
        except PipegraftError as error:
            self._history = self._history.refused(workload, now, str(error))
        else:
            self._report(f"{workload.application}: started {instance}")

    def _routes(self, application: Application, step: Step) -> list[Route]:
        listeners = {
            spec.name: spec.listen or self._entrances.address(spec.name) for spec in application.routed
        }
        return routes(application.routed, step.serving, listeners)

    def _save(self, applications: Sequence[Application]) -> None:
        for before, after in zip(self._applications, applications, strict=True):
            if after != before:
                self._states.save(after)
        self._applications = list(applications)

    def _tell(
        self,
        steps: Sequence[tuple[Application, Step]],
        instances: Sequence[Instance],
        wanted: Sequence[Sequence[Route]],
        hosted: Sequence[Hosted],
        trouble: Sequence[str],
    ) -> None:
        statuses = {}
        for (application, step), group, resources in zip(steps, wanted, hosted, strict=True):
            name = application.desired.name if application.desired else application.environment
            mine = [one for one in instances if one.application == name]
            status = describe(application, step, mine, group, trouble=trouble, hosted=resources)
            statuses[name] = status
            said = "; ".join((f"{status['sync']}, {status['health']}: {status['message']}", *trouble))
            if self._said.get(name) != said:
                self._said[name] = said
                self._report(f"{name}: {said}")
        with self._news:
            changed = statuses != self._statuses
            self._statuses = statuses
            if changed:
                self._news.notify_all()

    def _collect(self, instances: Sequence[Instance]) -> None:
        """Have unused images removed, once nothing but what is declared runs."""
        declared = [
            workload
            for application in self._applications
            if application.desired
            for workload in application.desired.workloads
        ]
        used = frozenset(image for workload in declared for image in workload.images)
        live = all(one.desired and one.live == one.desired.revision for one in self._applications)
        settled = {one.template for one in instances} <= {workload.template for workload in declared}
        if live and settled and used != self._in_use and self._runtime.collect(used):
            self._in_use = used
