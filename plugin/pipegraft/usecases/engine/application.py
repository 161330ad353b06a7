"""One application of the engine: what is declared, what is routed, what is live."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipegraft.adapters.files import write_atomically
from pipegraft.domain.reconcile import History, Step, reconcile
from pipegraft.domain.resources.local import read_hosted
from pipegraft.domain.workloads import RouteSpec, read_application
from pipegraft.ports.resources import HostedResource
from pipegraft.ports.runtime import Instance, Workload
from pipegraft.ports.traffic import Choice

__all__ = ["Application", "Desired", "States"]


@dataclass(frozen=True, slots=True)
class Desired:
    """A spec that was read without a problem.

    Arguments:
        revision: commit it was read at.
        manifest: the rendered OAM Application.
    """

    revision: str
    manifest: Mapping[str, Any]
    workloads: tuple[Workload, ...]
    routes: tuple[RouteSpec, ...]
    resources: tuple[HostedResource, ...] = ()

    @classmethod
    def read(cls, revision: str, manifest: Mapping[str, Any]) -> Desired:
        """Understand a rendered Application.

        Raises:
            UsageError: it holds something this engine cannot run.
        """
        return cls(revision, manifest, *read_application(manifest), read_hosted(manifest))

    @property
    def name(self) -> str:
        """Name of the application."""
        return str(self.manifest["metadata"]["name"])


@dataclass(frozen=True, slots=True)
class Application:
    """State of one application.

    Arguments:
        environment: which one of the app.
        observed: newest commit whose spec was looked at.
        problems: why that spec was refused; the last good one stays then.
        desired: the last good spec.
        routed: the routes that are in force, which may still be those of an older spec.
        live: commit of which everything runs, is healthy and gets the requests it should.
    """

    environment: str
    observed: str = ""
    problems: tuple[str, ...] = ()
    desired: Desired | None = None
    routed: tuple[RouteSpec, ...] = ()
    live: str = ""

    def step(self, instances: Sequence[Instance], history: History, now: float) -> tuple[Application, Step]:
        """Decide what is next, moving to the declared routes once everything behind them is new and serves.

        Until then the old routes stay, with the workloads they lead to: a promotion never sends requests
        back to the version it replaces.
        """
        if self.desired is None:
            return self, reconcile((), (), history, now)
        mine = [one for one in instances if one.application == self.desired.name]
        step = self._reconcile(mine, history, now)
        behind = {workload for spec in self.desired.routes for workload, _, _ in spec.backends}
        if self.routed != self.desired.routes and behind <= step.settled:
            moved = replace(self, routed=self.desired.routes)
            return moved, moved._reconcile(mine, history, now)  # noqa: SLF001 - itself
        return self, step

    def _reconcile(self, mine: Sequence[Instance], history: History, now: float) -> Step:
        assert self.desired is not None  # noqa: S101 - checked by the caller
        retained = {workload for spec in self.routed for workload, _, _ in spec.backends}
        return reconcile(self.desired.workloads, mine, history, now, retained)

    def after(self, step: Step) -> Application:
        """Once the routes are in force and the step is done: live if nothing is left to do."""
        if self.desired and self.routed == self.desired.routes and step.healthy:
            return replace(self, live=self.desired.revision)
        return self


class States:
    """Applications on disk, one file each, so that the next engine goes on where this one ended.

    Arguments:
        folder: where the files are; made if absent.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def load(self, environment: str) -> Application:
        """The application as it was saved last."""
        try:
            data = json.loads(self._path(environment).read_bytes())
        except FileNotFoundError:
            return Application(environment)
        desired = data["desired"] and Desired.read(data["desired"]["revision"], data["desired"]["manifest"])
        routed = tuple(
            RouteSpec(
                spec["name"],
                spec["listen"],
                tuple((w, p, weight) for w, p, weight in spec["backends"]),
                tuple(Choice(**choice) for choice in spec["choices"]),
            )
            for spec in data["routed"]
        )
        return Application(
            environment, data["observed"], tuple(data["problems"]), desired, routed, data["live"]
        )

    def save(self, application: Application) -> None:
        """Keep it, whole or not at all."""
        desired = application.desired
        data = {
            "observed": application.observed,
            "problems": application.problems,
            "desired": desired and {"revision": desired.revision, "manifest": desired.manifest},
            "routed": [
                {
                    "name": spec.name,
                    "listen": spec.listen,
                    "backends": spec.backends,
                    "choices": [asdict(choice) for choice in spec.choices],
                }
                for spec in application.routed
            ],
            "live": application.live,
        }
        write_atomically(self._path(application.environment), json.dumps(data, indent=1).encode())

    def _path(self, environment: str) -> Path:
        return self._folder / f"{environment}.json"
