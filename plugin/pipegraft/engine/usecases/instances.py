"""Brings applications about as instances of a runtime: images, resources and entrances first."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from pipegraft.appspec.resource_binding import Platform
from pipegraft.appspec.resource_ports import HostedState, ResourceHost
from pipegraft.appspec.runtime_support import Support
from pipegraft.appspec.spec import Resolved
from pipegraft.appspec.traffic_ports import Route, TrafficRouter
from pipegraft.core.adapters.files import write_atomically
from pipegraft.core.errors import PipegraftError
from pipegraft.core.ports import Clock
from pipegraft.engine.ports import Instance, Phase, Workload, WorkloadRuntime
from pipegraft.engine.reconcile import History, Step, reconcile
from pipegraft.engine.usecases.application import Application, Turn
from pipegraft.engine.usecases.status import describe
from pipegraft.engine.workloads import Plan, plan_of, routes

__all__ = [
    "Entrances",
    "Fetcher",
    "Hosted",
    "InstanceOperator",
    "advance_resources",
    "all_ready",
    "all_usable",
]

_PAUSE = 0.05
"""Seconds between two looks while everything is being ended."""


class Entrances:
    """Ports given to routes.

    Arguments:
        file: keeps them; its folder must exist.
        free_port: answers a port nobody listens on, other than those it is given.
    """

    def __init__(self, file: Path, free_port: Callable[[Collection[int]], int]) -> None:
        self._file = file
        self._free_port = free_port
        self._ports: dict[str, int] = json.loads(file.read_bytes()) if file.exists() else {}

    def address(self, route: str) -> str:
        """``host:port`` of a route, the same for ever."""
        if route not in self._ports:
            ports = {**self._ports, route: self._free_port(set(self._ports.values()))}
            write_atomically(self._file, json.dumps(ports, indent=1).encode())
            self._ports = ports
        return f"127.0.0.1:{self._ports[route]}"


_Images = tuple[str, ...]


class Fetcher:
    """Fetches the images of workloads.

    Arguments:
        prepare: fetches the images of one.
        submit: has that done by somebody else.
    """

    def __init__(
        self,
        prepare: Callable[[Workload], None],
        submit: Callable[[Callable[[Workload], None], Workload], Future[None]],
    ) -> None:
        self._prepare = prepare
        self._submit = submit
        self._under_way: dict[_Images, Future[None]] = {}
        self._there: set[_Images] = set()

    def has(self, workload: Workload) -> bool:
        """Whether everything of a workload is there; if not it is fetched, once at a time.

        Raises:
            PipegraftError: fetching failed; asking again tries again.
        """
        images = workload.images
        if images in self._there:
            return True
        future = self._under_way.get(images) or self._submit(self._prepare, workload)
        self._under_way[images] = future
        if not future.done():
            return False
        del self._under_way[images]
        future.result()
        self._there.add(images)
        return True

    def forget(self, kept: Collection[str]) -> None:
        """Every other image has been removed."""
        self._there = {images for images in self._there if set(images) <= set(kept)}


Hosted = Mapping[str, HostedState]
"""Resource → how it is, of one application."""


def advance_resources(host: ResourceHost, applications: Sequence[Application]) -> list[Hosted]:
    """Bring every application's resources one step further.

    What nobody declares any more ends once every application is live, so that no workload loses what it
    still uses.

    Returns:
        For each application its resources.
    """
    declared = [one.desired.plan.resources if one.desired else () for one in applications]
    settled = all(one.desired and one.live == one.desired.revision for one in applications)
    wanted = {(each.namespace, each.name): each for group in declared for each in group}
    states = host.ensure(tuple(wanted.values()), end_others=settled)
    return [{each.name: states[each.namespace, each.name] for each in group} for group in declared]


def all_usable(hosted: Hosted) -> bool:
    """Whether the outputs of all are known."""
    return all(state.usable for state in hosted.values())


def all_ready(hosted: Hosted) -> bool:
    """Whether all of them serve."""
    return all(state.ready for state in hosted.values())


class InstanceOperator:
    """`Operator` over a `WorkloadRuntime` and a `TrafficRouter`.

    Arguments:
        support: what the runtime can honour.
        resources: runs what the applications use.
        report: takes one line for people on every instance that is started.
    """

    def __init__(
        self,
        *,
        runtime: WorkloadRuntime,
        support: Support,
        router: TrafficRouter,
        clock: Clock,
        entrances: Entrances,
        fetcher: Fetcher,
        resources: ResourceHost,
        platform: Platform,
        report: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._runtime = runtime
        self._support = support
        self._router = router
        self._clock = clock
        self._entrances = entrances
        self._fetcher = fetcher
        self._resources = resources
        self.platform = platform
        self._report = report
        self._history = History()
        self._fetching: frozenset[tuple[str, str]] = frozenset()
        self._in_use: frozenset[str] | None = None

    def understand(self, resolved: Resolved) -> Plan:
        return plan_of(resolved, self._support)

    def turn(self, applications: Sequence[Application]) -> Sequence[Turn]:
        try:
            instances = self._runtime.observe()
        except PipegraftError as error:
            return [self._blind(application, str(error)) for application in applications]
        now = self._clock.now()
        self._history = self._history.observe(instances, now)
        steps = [self._step(application, instances, now) for application in applications]
        hosted = advance_resources(self._resources, applications)
        fetching: set[tuple[str, str]] = set()
        for (_, step), mine in zip(steps, hosted, strict=True):
            for workload in step.start if all_usable(mine) else ():
                if not self._start(workload, now):
                    fetching.add((workload.application, workload.name))
        self._fetching = frozenset(fetching)
        wanted = [self._routes(application, step) for application, step in steps]
        trouble = self._carry_out([step for _, step in steps], wanted)
        self._prune(applications, instances)
        if not trouble:
            steps = [
                (_after(application, step) if all_ready(mine) else application, step)
                for (application, step), mine in zip(steps, hosted, strict=True)
            ]
        turns = [
            self._describe(application, step, group, mine, instances=instances, trouble=trouble)
            for (application, step), group, mine in zip(steps, wanted, hosted, strict=True)
        ]
        self._collect([application for application, _ in steps], instances)
        return turns

    def end(self) -> None:
        while instances := self._runtime.observe():
            for instance in instances:
                self._runtime.stop(instance.id)
            self._clock.sleep(_PAUSE)
        self._resources.end()

    def _step(
        self, application: Application, instances: Sequence[Instance], now: float
    ) -> tuple[Application, Step]:
        """Decide what is next, moving to the declared routes once what gets requests there is new and serves.

        Until then the old routes stay, with the workloads they lead to: a promotion never sends requests
        back to the version it replaces.
        """
        desired = application.desired
        if desired is None:
            return application, reconcile((), (), self._history, now)
        mine = [one for one in instances if one.application == desired.name]

        def decide(one: Application) -> Step:
            retained = {workload for spec in one.routed for workload, _, _ in spec.backends}
            return reconcile(desired.plan.workloads, mine, self._history, now, retained)

        step = decide(application)
        behind = {workload for spec in desired.plan.routes for workload in spec.served}
        if application.routed != desired.plan.routes and behind <= step.settled:
            moved = replace(application, routed=desired.plan.routes)
            return moved, decide(moved)
        return application, step

    def _start(self, workload: Workload, now: float) -> bool:
        """Start an instance unless its images are still on their way."""
        try:
            if not self._fetcher.has(workload):
                return False
            instance = self._runtime.start(workload)
        except (PipegraftError, OSError) as error:  # its image may be too large for the disk
            self._history = self._history.refused(workload, now, str(error))
        else:
            self._report(f"{workload.application}: started {instance}")
        return True

    def _routes(self, application: Application, step: Step) -> list[Route]:
        listeners = {
            spec.name: spec.listen or self._entrances.address(spec.name) for spec in application.routed
        }
        return routes(application.routed, step.serving, listeners)

    def _carry_out(self, steps: Sequence[Step], wanted: Sequence[Sequence[Route]]) -> list[str]:
        """Route, then stop what gets no requests any more; answers what went wrong."""
        try:
            self._router.apply([route for group in wanted for route in group])  # each turn: it may have died
        except PipegraftError as error:
            return [str(error)]
        for step in steps:
            for instance in step.stop:
                self._runtime.stop(instance)
        return []

    def _prune(self, applications: Sequence[Application], instances: Sequence[Instance]) -> None:
        """End what belongs to no application any more, once all of them are known."""
        if all(one.desired for one in applications):
            names = {one.desired.name for one in applications if one.desired}
            for instance in instances:
                if instance.application not in names and instance.phase is not Phase.STOPPING:
                    self._runtime.stop(instance.id)

    def _describe(
        self,
        application: Application,
        step: Step,
        group: Sequence[Route],
        hosted: Hosted,
        *,
        instances: Sequence[Instance],
        trouble: Sequence[str],
    ) -> Turn:
        mine = [one for one in instances if one.application == application.name]
        fetching = {workload for name, workload in self._fetching if name == application.name}
        status = describe(application, step, mine, group, trouble=trouble, hosted=hosted, fetching=fetching)
        return Turn(application, status)

    def _blind(self, application: Application, trouble: str) -> Turn:
        """What can be said while nobody knows what runs: nothing is decided then."""
        nothing = reconcile((), (), self._history, self._clock.now())
        return Turn(application, describe(application, nothing, (), (), trouble=[trouble]))

    def _collect(self, applications: Sequence[Application], instances: Sequence[Instance]) -> None:
        """Have unused images removed, once nothing but what is declared runs."""
        declared = [
            workload
            for application in applications
            if application.desired
            for workload in application.desired.plan.workloads
        ]
        used = frozenset(image for workload in declared for image in workload.images)
        live = all(one.desired and one.live == one.desired.revision for one in applications)
        settled = {one.template for one in instances} <= {workload.template for workload in declared}
        if live and settled and used != self._in_use and self._runtime.collect(used):
            self._in_use = used
            self._fetcher.forget(used)


def _after(application: Application, step: Step) -> Application:
    """Once the routes are in force and the step is done: live if nothing is left to do."""
    desired = application.desired
    if desired and application.routed == desired.plan.routes and step.healthy:
        return replace(application, live=desired.revision)
    return application
