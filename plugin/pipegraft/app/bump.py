"""Many bumps at once: applications and environments that share an IaC repository share one push."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from pipegraft.app.listeners import ask_for_vetoes
from pipegraft.app.run import open_record
from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.errors import DeliveryRefused, PipegraftError, UsageError
from pipegraft.core.hooks import STAGES, LiveConnections
from pipegraft.core.ports import Progress
from pipegraft.core.release import IacCommit
from pipegraft.core.stage import Project, StageContext
from pipegraft.iac.optimistic_commit import Batch, rewrite_all
from pipegraft.iac.plugin import open_iac, with_manifests
from pipegraft.iac.ports import IacBranch, NewerProposed
from pipegraft.iac.rendered import RenderedBranch
from pipegraft.iac.stage import Bump, prepare_bump, record_bump, record_newer, show_bump

__all__ = ["BumpOrder", "Bumped", "bump_all", "worst"]


@dataclass(frozen=True, slots=True)
class BumpOrder:
    """What to write.

    Arguments:
        projects: the applications, each with its release record.
        environments: where to release each of them.
        origin: carry what this environment runs; the release records' images if None.
        dry_run: report the differences and write nothing.
        verify: ask the registries for every digest first.
        deadline: seconds to go on while others keep moving a branch.
        variables: the process's environment variables, for the CI system's facts.
    """

    projects: Sequence[Project]
    environments: Sequence[str]
    origin: str | None = None
    dry_run: bool = False
    verify: bool = True
    deadline: float = 300.0
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bumped:
    """What came of one application in one environment.

    Arguments:
        commit: which commit holds the release; None after an error or a dry run.
        error: why it is not released there.
    """

    app: str
    environment: str
    commit: IacCommit | None = None
    error: PipegraftError | None = None


def bump_all(order: BumpOrder, progress: Progress) -> list[Bumped]:
    """Write releases: a commit for each application and environment, a push for each IaC repository.

    What is refused does not stop the others; a repository that does not answer stops its own.

    Returns:
        One for each, in the order of `order.projects` and `order.environments`.
    """
    groups: dict[tuple[str, ...], list[_Item]] = {}
    items = [_Item(project, environment) for project in order.projects for environment in order.environments]
    for item in items:
        groups.setdefault(item.branch_key(), []).append(item)
    for group in groups.values():
        try:
            _bump_group(group, order, progress)
        except PipegraftError as error:
            for item in group:
                item.error = item.error or error
    return [Bumped(item.project.delivery.app, item.environment, item.commit, item.error) for item in items]


def worst(results: Sequence[Bumped]) -> int:
    """The exit code: a refusal outweighs wrong usage, and that an outside system that may recover."""
    errors = [one.error for one in results if one.error]
    for kind in (DeliveryRefused, UsageError):
        if any(isinstance(error, kind) for error in errors):
            return kind.exit_code
    return errors[0].exit_code if errors else 0


@dataclass(slots=True)
class _Item:
    """One application in one environment, on its way."""

    project: Project
    environment: str
    context: StageContext | None = None
    edit: Bump | None = None
    commit: IacCommit | None = None
    error: PipegraftError | None = None

    def branch_key(self) -> tuple[str, ...]:
        iac = self.project.delivery.iac
        local = self.project.root / iac.repository
        where = str(local.resolve()) if local.exists() else iac.repository
        if iac.write == "merge-request":  # each is a branch and a request of its own
            return (where, iac.branch, self.project.delivery.app, self.environment)
        return (where, iac.branch, iac.write, iac.commit.model_dump_json())

    def prepare(self, branch: IacBranch, order: BumpOrder, progress: Progress) -> None:
        declared = self.project.delivery.environments
        if self.environment not in declared:
            raise UsageError(
                f"'{self.project.delivery.app}' has no environment '{self.environment}'",
                fix=f"use one of: {', '.join(declared)}",
            )
        self.context = StageContext(
            self.project.delivery,
            self.project.root,
            self.environment,
            LiveConnections(self.project),
            open_record(self.project, order.variables),
            SystemClock(),
            progress,
        )
        stage = self.project.plugins.get(STAGES, "iac-bump")
        ask_for_vetoes(self.project.plugins, f"iac-bump of {self.project.delivery.app}", stage, self.context)
        self.edit = prepare_bump(self.context, branch, order.origin, verify=order.verify)


def _bump_group(group: Sequence[_Item], order: BumpOrder, progress: Progress) -> None:
    folders = [item.project.delivery.iac.path for item in group]
    shared = [] if None in folders else [folder for folder in folders if folder]
    with closing(
        with_manifests(open_iac(group[0].project, shared), [item.project for item in group])
    ) as branch:
        _bump_branch(branch, group, order, progress)


def _bump_branch(
    branch: RenderedBranch, group: Sequence[_Item], order: BumpOrder, progress: Progress
) -> None:
    for item in group:
        try:
            item.prepare(branch, order, progress)
        except PipegraftError as error:
            item.error = error
    ready = list(_ready(group))
    if order.dry_run:
        for _item, context, edit in ready:
            show_bump(context, edit, branch)
        return
    try:
        done = rewrite_all(
            branch,
            [branch.complete(edit) for _item, _context, edit in ready],
            deadline=order.deadline,
            notice=lambda reason: ready[0][1].report("progress", f"waiting: {reason}"),
        )
    except NewerProposed as newer:
        ((item, context, edit),) = ready
        item.commit = record_newer(context, edit, newer)
    else:
        _record(ready, done, branch)


def _ready(group: Sequence[_Item]) -> Iterator[tuple[_Item, StageContext, Bump]]:
    for item in group:
        if item.error is None and item.context and item.edit:
            yield item, item.context, item.edit


def _record(ready: Sequence[tuple[_Item, StageContext, Bump]], done: Batch, branch: IacBranch) -> None:
    for number, (item, context, edit) in enumerate(ready):
        item.error = done.refused.get(number)
        if item.error is None:
            written = done.commits.get(number)
            item.commit = record_bump(context, edit, branch, written, tip=done.tip, attempts=done.attempts)
