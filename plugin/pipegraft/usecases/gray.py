"""What people see of a gray release and tell it; every word is a commit in the IaC repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipegraft.actions.gray_branch import GrayBranch, GraySubject
from pipegraft.actions.wait import Patience, wait_for_revision
from pipegraft.adapters.clock import SystemClock
from pipegraft.domain.environment_file import environment_path, read_environment
from pipegraft.domain.gray.machine import Command, Standing, move_for
from pipegraft.errors import TipMoved, UsageError
from pipegraft.model.delivery import Gray
from pipegraft.model.release import Source
from pipegraft.ports.clock import Clock
from pipegraft.ports.iac import Commit
from pipegraft.ports.progress import Progress
from pipegraft.ports.stage import Connections
from pipegraft.usecases.connect import LiveConnections
from pipegraft.usecases.project import Project

__all__ = ["GrayStatus", "gray_status", "tell_gray", "wait_until_live"]


@dataclass(frozen=True, slots=True)
class GrayStatus:
    """The newest release of an environment.

    Arguments:
        environment: its name.
        path: its file in the IaC repository.
        number: the release's number, None before the first one.
        standing: where it stands.
        steps: weights of the delivery.
        commits: the release's commits, newest first.
    """

    environment: str
    path: str
    number: int | None
    standing: Standing
    steps: tuple[int, ...]
    commits: tuple[Commit, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "environment": self.environment,
            "path": self.path,
            "release": self.number,
            "state": self.standing.kind if self.number is not None else "none",
            "weight": self.standing.weight,
            "phase": self.standing.phase,
            "steps": list(self.steps),
            "commits": [
                {
                    "commit": one.id,
                    "time": one.time,
                    "author": one.author,
                    "subject": one.message.partition("\n")[0],
                    "trailers": dict(one.trailers),
                }
                for one in self.commits
            ],
        }


def gray_status(
    project: Project, environment: str | None, connections: Connections | None = None
) -> GrayStatus:
    """Where the newest release of an environment stands.

    Arguments:
        environment: its name; may be None if only one declares gray releases.
    """
    return _Subject(project, environment, connections or LiveConnections(project)).status()


def tell_gray(
    project: Project,
    environment: str | None,
    command: Command,
    by: str,
    *,
    connections: Connections | None = None,
    clock: Clock | None = None,
) -> GrayStatus:
    """Approve, abort, pause or skip, by one commit.

    Arguments:
        environment: its name; may be None if only one declares gray releases.
        by: who says so, and why; it goes into the commit.

    Raises:
        UsageError: it makes no sense where the release stands; nothing was written.
        TipMoved: the release moved on meanwhile.
    """
    subject = _Subject(project, environment, connections or LiveConnections(project))
    branch = subject.branch(clock or SystemClock())
    look = branch.look()
    move = move_for(command, look.standing, subject.gray.steps, by)
    if branch.write(look, move) is None:
        raise TipMoved(
            "the release moved on while this was written",
            fix="look at `pipegraft gray status` and say it again",
        )
    return subject.status()


def wait_until_live(project: Project, status: GrayStatus, progress: Progress) -> None:
    """Wait until the engine has the release's newest commit.

    Raises:
        SyncFailed: it does not get there.
    """
    connections = LiveConnections(project)
    gate = project.delivery.environments[status.environment].gate
    engine, rule = connections.engine(status.environment)
    wait_for_revision(
        engine,
        rule,
        history=connections.iac(),
        target=status.commits[0].id,
        patience=Patience(gate.timeout, gate.settle),
        clock=SystemClock(),
        progress=progress,
    )


class _Subject:
    """The environment that is meant, and its newest release."""

    def __init__(self, project: Project, environment: str | None, connections: Connections) -> None:
        declared = {
            name: one.gray for name, one in project.delivery.environments.items() if one.gray is not None
        }
        self.name = _choose(declared, environment)
        self.gray = declared[self.name]
        self._delivery = project.delivery
        self._iac = connections.iac()
        self._path = environment_path(project.delivery.iac.path, self.name)
        here = read_environment(self._iac.read(self._path, self._iac.tip()) or "", self._path)
        marks = [mark for mark in (here.release, here.gray and here.gray.release) if mark]
        self._mark = max(marks, key=lambda mark: mark.number, default=None)

    def branch(self, clock: Clock) -> GrayBranch:
        if self._mark is None:
            raise UsageError(f"nothing was released in {self.name} yet", fix="run iac-bump first")
        # The file may name the source in any way people like; only releases of ours name a whole commit.
        source = Source.model_construct(commit=self._mark.source, number=self._mark.number, pipeline="")
        app, folder = self._delivery.app, self._delivery.iac.path
        return GrayBranch(self._iac, GraySubject(app, self.name, folder, source, self.gray.steps), clock)

    def status(self) -> GrayStatus:
        if self._mark is None:
            return GrayStatus(self.name, self._path, None, Standing("absent"), self.gray.steps, ())
        branch = self.branch(SystemClock())
        return GrayStatus(
            self.name,
            self._path,
            self._mark.number,
            branch.look().standing,
            self.gray.steps,
            branch.chapter().commits,
        )


def _choose(declared: Mapping[str, Gray], environment: str | None) -> str:
    if environment is None and len(declared) == 1:
        return next(iter(declared))
    if environment is None:
        raise UsageError(
            f"expected one environment with gray releases, found {', '.join(declared) or 'none'}",
            fix="name it with --env" if declared else "add 'gray' to an environment in delivery.yaml",
        )
    if environment not in declared:
        raise UsageError(
            f"environment '{environment}' declares no gray releases; those that do: "
            f"{', '.join(declared) or 'none'}"
        )
    return environment
