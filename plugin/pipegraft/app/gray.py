"""What people see of a gray release and tell it; every word is a commit in the IaC repository."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pipegraft.appspec.environment_file import environment_path, read_environment
from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.delivery import Gray, Metric
from pipegraft.core.errors import PipegraftError, TipMoved, UsageError
from pipegraft.core.hooks import connected
from pipegraft.core.ports import Progress
from pipegraft.core.reading import readable
from pipegraft.core.release import Release, ReleaseMark, Source
from pipegraft.core.stage import Connections, Project
from pipegraft.gate.ports import ENGINE
from pipegraft.gate.waiting import Patience, wait_for_revision
from pipegraft.gray.branch import GrayBranch, GraySubject
from pipegraft.gray.history import OBSERVED, from_trailer, weight_of
from pipegraft.gray.machine import Command, Standing, move_for
from pipegraft.gray.observation import ArmCounts
from pipegraft.gray.ports import ROLLOUT
from pipegraft.gray.report import GrayReport, ReportedLook, ReportedStep
from pipegraft.iac.ports import IAC, Commit, renderers_of
from pipegraft.iac.rollback import RollbackRequest, is_taken_back, roll_back

__all__ = ["GrayStatus", "choose_environment", "gray_report", "gray_status", "tell_gray", "wait_until_live"]


_NEWEST = 1000
"""Commits of an environment's file that are searched for a release."""


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
        controller: what the controller says that drives the rollout; empty if we drive it.
    """

    environment: str
    path: str
    number: int | None
    standing: Standing
    steps: tuple[int, ...]
    commits: tuple[Commit, ...]
    controller: str = ""

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
            "controller": self.controller or None,
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
    project: Project,
    environment: str | None,
    connections: Connections | None = None,
    number: int | None = None,
) -> GrayStatus:
    """Where a release of an environment stands, or how it ended.

    Arguments:
        environment: its name; may be None if only one declares gray releases.
        number: the release's number; the newest one in the history if None.

    Raises:
        UsageError: there is no such release.
    """
    with connected(project, connections) as opened:
        subject = _Subject(project, environment, opened)
        subject.turn_to(number)
        return subject.status()


def tell_gray(
    project: Project,
    environment: str | None,
    command: Command,
    by: str,
    *,
    connections: Connections | None = None,
) -> GrayStatus:
    """Approve, abort, pause or skip, by one commit.

    Arguments:
        environment: its name; may be None if only one declares gray releases.
        by: who says so, and why; it goes into the commit.

    Raises:
        UsageError: it makes no sense where the release stands; nothing was written.
        TipMoved: the release moved on meanwhile.
    """
    with connected(project, connections) as opened:
        subject = _Subject(project, environment, opened)
        if subject.gray.rollout is not None:
            _tell_controller(project, subject.name, command, by=by, connections=opened)
            return subject.status()
        # one that was taken back already: nobody who says so means the release before it
        subject.turn_to(None)
        branch = subject.branch()
        look = branch.look()
        move = move_for(command, look.standing, subject.gray.steps, by)
        if branch.write(look, move) is None:
            raise TipMoved(
                "the release moved on while this was written",
                fix="look at `pipegraft gray status` and say it again",
            )
        return subject.status()


def _tell_controller(
    project: Project, environment: str, command: Command, *, by: str, connections: Connections
) -> None:
    """Approve: the controller goes on; abort: it ends, and a commit takes the release back, once.

    Raises:
        UsageError: the controller's own tool says the rest, or the release cannot be taken back; nothing was
            said and written.
        Conflict, OutsideError: the controller has stopped, and the commit was not made.
    """
    rollout, _ = connections.open(ROLLOUT, environment)
    if command == "approve":
        rollout.go_on()
    elif command == "abort":
        branch = connections.open(IAC)
        if not is_taken_back(branch, project.delivery, environment):  # else it would be the one before it
            tools = renderers_of(connections, project.delivery, environment)
            request = RollbackRequest(
                project.delivery, environment, reason=f"aborted by {by}", renderers=tools
            )
            roll_back(branch, replace(request, dry_run=True))  # what git refuses leaves the controller alone
            rollout.abort()
            with _after_abort():
                roll_back(branch, request)
    else:
        raise UsageError(
            f"the rollout of '{environment}' is driven by its controller, which knows no '{command}' from us",
            fix="use the controller's own tool, or `pipegraft gray approve` and `abort`",
        )


@contextmanager
def _after_abort() -> Iterator[None]:
    """Have a commit that was not made tell that the controller has stopped all the same."""
    try:
        yield
    except PipegraftError as error:
        told = error.problem
        error.problem = replace(
            told,
            message=f"the controller has stopped the rollout, and git still has the release: {told.message}",
            fix=told.fix or "say `pipegraft gray abort` again",
        )
        raise


def wait_until_live(project: Project, environment: str, commit: str, progress: Progress) -> None:
    """Wait until the engine has a commit of an environment.

    Raises:
        SyncFailed: it does not get there.
    """
    with connected(project) as connections:
        gate = project.delivery.environments[environment].gate
        engine, rule, settle = connections.open(ENGINE, environment)
        wait_for_revision(
            engine,
            rule,
            history=connections.open(IAC),
            target=commit,
            patience=Patience(gate.timeout, settle),
            clock=SystemClock(),
            progress=progress,
        )


def gray_report(
    project: Project,
    environment: str | None,
    release: Release | None = None,
    connections: Connections | None = None,
    number: int | None = None,
) -> GrayReport:
    """The story of a release in an environment.

    Arguments:
        environment: its name; may be None if only one declares gray releases.
        number: the release's number; the newest one in the history if None.
        release: the release record, which tells what the judge said at every look.

    Raises:
        UsageError: nothing was released yet.
    """
    status = gray_status(project, environment, connections, number)
    if status.number is None or not status.commits:
        raise UsageError(f"no gray release is told of in the history of {status.path}")
    oldest_first = tuple(reversed(status.commits))
    looks = _recorded_looks(release, status) or _observed_looks(oldest_first)
    return GrayReport(
        app=project.delivery.app,
        environment=status.environment,
        release=status.number,
        source=status.commits[0].trailers.get("Pipegraft-Source-Commit", ""),
        state=status.standing.kind,
        steps=tuple(_reported_steps(oldest_first)),
        looks=tuple(sorted(looks, key=lambda look: look.end)),
        limits={one.name: (1 + one.tolerance, 1 + one.margin) for one in _metrics(project, environment)},
    )


def _metrics(project: Project, environment: str | None) -> Sequence[Metric]:
    return choose_environment(project, environment)[1].metrics


def _reported_steps(commits: Iterable[Commit]) -> Iterator[ReportedStep]:
    weight = 0
    for commit in commits:
        step = commit.trailers.get("Pipegraft-Step", "")
        weight = weight_of(step, weight)
        _subject, *body = commit.message.strip().split("\n\n")[:-1]
        lines = tuple(line for paragraph in body for line in paragraph.splitlines())
        yield ReportedStep(commit.id, commit.time, commit.author, step, weight, tuple(dict.fromkeys(lines)))


def _observed_looks(commits: Iterable[Commit]) -> list[ReportedLook]:
    """The intervals that the commits tell of."""
    return [
        ReportedLook(
            one.end,
            metric,
            _share(one.stable.get(metric)),
            _share(counts),
            stable_requests=one.stable[metric].requests if metric in one.stable else 0.0,
            gray_requests=counts.requests,
        )
        for commit in commits
        for one in from_trailer(commit.trailers.get(OBSERVED, ""))
        for metric, counts in one.gray.items()
    ]


def _recorded_looks(release: Release | None, status: GrayStatus) -> list[ReportedLook]:
    """Every look, from the release record of the same release."""
    if release is None or release.source_in(status.environment).number != status.number:
        return []
    part = release.environments.get(status.environment)
    found: list[ReportedLook] = []
    for step in part.gray if part else ():
        for look in step.judgement.get("looks", ()):
            for metric, seen in look["metrics"].items():
                stable, gray = (seen.get(arm, {}) for arm in ("stable", "gray"))
                found.append(
                    ReportedLook(
                        look["end"],
                        metric,
                        _share_of(stable),
                        _share_of(gray),
                        estimate=seen.get("estimate"),
                        low=seen.get("low"),
                        high=seen.get("high"),
                        stable_requests=stable.get("requests", 0.0),
                        gray_requests=gray.get("requests", 0.0),
                    )
                )
    return found


def _share(counts: ArmCounts | None) -> float | None:
    return _share_of({"requests": counts.requests, "errors": counts.errors}) if counts else None


def _share_of(counts: Mapping[str, float | None]) -> float | None:
    requests, errors = counts.get("requests"), counts.get("errors")
    return errors / requests if requests and errors is not None else None


class _Subject:
    """The environment that is meant, and its newest release."""

    def __init__(self, project: Project, environment: str | None, connections: Connections) -> None:
        self.name, self.gray = choose_environment(project, environment)
        self._delivery = project.delivery
        self._connections = connections
        self._iac = connections.open(IAC)
        self._path = environment_path(project.delivery.iac.path, self.name)
        here = read_environment(self._iac.read(self._path, self._iac.tip()) or "", self._path)
        marks = [mark for mark in (here.release, here.gray and here.gray.release) if mark]
        self._mark = max(marks, key=lambda mark: mark.number, default=None)

    def turn_to(self, number: int | None) -> None:
        """Speak of this release, or of the newest one in the history, instead of the file's newest."""
        for commit in self._iac.log(self._path, limit=_NEWEST):
            trailers = commit.trailers
            found = trailers.get("Pipegraft-Release", "")
            wanted = found.isdecimal() if number is None else found == str(number)
            if wanted and trailers.get("Pipegraft-Environment") == self.name:
                source = trailers.get("Pipegraft-Source-Commit", "unknown")
                self._mark = ReleaseMark(number=int(found), source=source)
                return
        if number is not None:
            raise UsageError(f"the history of {self._path} tells of no release {number}")

    def branch(self) -> GrayBranch:
        if self._mark is None:
            raise UsageError(f"nothing was released in {self.name} yet", fix="run iac-bump first")
        # The file may name the source in any way people like; only releases of ours name a whole commit.
        source = Source.model_construct(commit=self._mark.source, number=self._mark.number, pipeline="")
        app, folder = self._delivery.app, self._delivery.iac.path
        return GrayBranch(self._iac, GraySubject(app, self.name, folder, source, self.gray.steps))

    def status(self) -> GrayStatus:
        controller = self._controller()
        if self._mark is None:
            absent = Standing("absent")
            return GrayStatus(self.name, self._path, None, absent, self.gray.steps, (), controller)
        branch = self.branch()
        return GrayStatus(
            self.name,
            self._path,
            self._mark.number,
            branch.look().standing,
            self.gray.steps,
            branch.chapter().commits,
            controller,
        )

    def _controller(self) -> str:
        if self.gray.rollout is None:
            return ""
        rollout, rule = self._connections.open(ROLLOUT, self.name)
        with readable("the rollout's controller"):
            verdict = rule(rollout.observe(), lambda _workload: True, 0.0)
        weight = "" if verdict.weight is None else f"{verdict.weight}%, "
        return f"{weight}{verdict.phase}: {verdict.reason}"


def choose_environment(project: Project, environment: str | None) -> tuple[str, Gray]:
    """The environment that is meant, and how it declares its gray releases.

    Arguments:
        environment: its name; may be None if only one declares gray releases.

    Raises:
        UsageError: there is none of that name with gray releases, or there are several to choose from.
    """
    declared = {name: one.gray for name, one in project.delivery.environments.items() if one.gray is not None}
    if environment is None and len(declared) == 1:
        return next(iter(declared.items()))
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
    return environment, declared[environment]
