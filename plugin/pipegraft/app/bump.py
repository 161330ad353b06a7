"""Bumps by hand: many at once, or of configuration alone.

Applications and environments that share an IaC repository share one push. A change of configuration is
prepared as a gray release by the same stage as images are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from pipegraft.app.gray import choose_environment
from pipegraft.app.run import RunRequest, ask_for_vetoes, open_record, run_stages
from pipegraft.appspec.environment_file import environment_path, read_environment
from pipegraft.ci.hooks import CI_SYSTEMS
from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.errors import DeliveryRefused, PipegraftError, UsageError
from pipegraft.core.hooks import STAGES, LiveConnections, connected
from pipegraft.core.ports import Event, Progress
from pipegraft.core.release import IacCommit
from pipegraft.core.stage import Connections, Project, StageContext
from pipegraft.iac.commits import RenderedBranch
from pipegraft.iac.optimistic_commit import Batch, rewrite_all
from pipegraft.iac.plugin import open_iac, with_manifests
from pipegraft.iac.ports import IAC, IacBranch, NewerProposed
from pipegraft.iac.released_images import read_state, state_path
from pipegraft.iac.stage import Bump, prepare_bump, record_bump, record_newer, show_bump

__all__ = ["BumpOrder", "Bumped", "Prepared", "bump_all", "prepare_config", "worst"]


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


@dataclass(frozen=True, slots=True)
class Prepared:
    """What came of it.

    Arguments:
        environment: its name.
        number: of the release.
        outcome: `written`, `unchanged`, `superseded`, or `planned` in a dry run that would write.
        commit: which commit holds the release; None in a dry run.
        diff: of the environment's file, in a dry run; empty if nothing would be written.
    """

    environment: str
    number: int
    outcome: str
    commit: str | None
    diff: str | None = None


def prepare_config(
    project: Project,
    environment: str | None,
    config: Sequence[str],
    progress: Progress,
    *,
    variables: Mapping[str, str],
    dry_run: bool = False,
    connections: Connections | None = None,
) -> Prepared:
    """Add a gray block of weight 0 with configuration to an environment; gray-release goes on.

    Arguments:
        environment: its name; may be None if only one declares gray releases.
        config: ``PATH=VALUE``, each of one line.
        variables: the process's environment variables, for the number of the release; where neither a
            pipeline nor the user gives one, it is the next one after the newest release.
        dry_run: report the difference and write nothing.

    Raises:
        UsageError: it is no configuration, or cannot be released now; nothing was written.
    """
    name, _gray = choose_environment(project, environment)
    for word in config:
        if len(word.splitlines()) != 1:
            raise UsageError(
                f"expected PATH=VALUE on one line, found {word!r}",
                fix='write a line break as \\n within double quotes: PATH="one\\ntwo"',
            )
    settings = {
        "iac-bump.config": "\n".join(config),
        "iac-bump.images": "false",
        "iac-bump.dry-run": str(dry_run).lower(),
    }
    with connected(project, connections) as opened:
        request = RunRequest(
            ("iac-bump",), name, settings, _numbered(project, name, variables, opened), anew=True
        )
        heard = _Heard(progress)
        release = run_stages(project, request, heard, opened)
        part = release.environments.get(name)
        if part is None or part.bump is None:
            outcome = "planned" if heard.diff else "unchanged"
            return Prepared(name, release.source.number, outcome, None, heard.diff)
        return Prepared(name, release.source.number, part.bump.outcome, part.bump.commit)


class _Heard:
    """Progress that remembers the difference of a dry run."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self.diff = ""

    def emit(self, event: Event) -> None:
        if event.kind == "diff":
            self.diff = event.data["diff"]
        self._shown.emit(event)


_NUMBER = "PIPEGRAFT_RELEASE_NUMBER"


def _numbered(
    project: Project, environment: str, variables: Mapping[str, str], connections: Connections
) -> Mapping[str, str]:
    """The variables with a number for the release: commits are no measure of it where pipelines count."""
    systems = project.plugins.all(CI_SYSTEMS).values()
    if _NUMBER in variables or any(system.source(variables) for system in systems):
        return variables
    folder, branch = project.delivery.iac.path, connections.open(IAC)
    tip = branch.tip()
    path, state_file = environment_path(folder, environment), state_path(folder, environment)
    held = read_environment(branch.read(path, tip) or "", path)
    if held.gray:  # the same command again finds what it wrote
        return {**variables, _NUMBER: str(held.gray.release.number)}
    marks = [held.release, read_state(branch.read(state_file, tip), state_file).taken_back]
    newest = max((mark.number for mark in marks if mark), default=0)
    return {**variables, _NUMBER: str(newest + 1)}
