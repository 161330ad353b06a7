"""The forge that holds a fleet's repositories: what is in them, proposals to them, and their pipelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from pipegraft.core.errors import Held, UsageError

__all__ = [
    "Change",
    "FakeForge",
    "Forge",
    "ForgeFiles",
    "ForgeProject",
    "ForgeProposals",
    "ForgeRuns",
    "PipelineRun",
    "Proposal",
    "ProposalState",
]

ProposalState = Literal["opened", "merged", "closed"]


@dataclass(frozen=True, slots=True)
class ForgeProject:
    """One repository of a group.

    Arguments:
        id: the forge's number for it.
        path: ``group/subgroup/name``.
        branch: its default branch, empty for a repository without commits.
        url: its page.
        clone_url: where git reads it.
        ci_file: where its CI configuration is.
        archived, fork: what a fleet leaves alone.
        requests: whether it takes merge requests.
    """

    id: int
    path: str
    branch: str
    url: str = ""
    clone_url: str = ""
    ci_file: str = ".gitlab-ci.yml"
    archived: bool = False
    fork: bool = False
    requests: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """What is proposed to a project, as one commit on a branch of its own.

    Arguments:
        branch: the branch; what was on it before is replaced.
        files: path → text, None to delete.
        before: path → text of each of these files on the default branch, None where there is none.
        key: names this change and no other; two changes with the same key are the same.
        title: of the proposal, and the commit's subject.
        description: of the proposal, in Markdown.
        labels: of the proposal.
    """

    branch: str
    files: Mapping[str, str | None]
    before: Mapping[str, str | None]
    key: str
    title: str
    description: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """A merge request.

    Arguments:
        number: the project's number for it.
        key: of the change that it proposes; empty if its description no longer says.
        merged_at: seconds since the epoch, None unless it is merged.
        commit: the commit to undo once it is merged.
    """

    project: int
    number: int
    url: str
    state: ProposalState
    key: str = ""
    merged_at: float | None = None
    commit: str = ""


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """One pipeline of a default branch.

    Arguments:
        created: seconds since the epoch.
        passed: how it ended, None while it runs or where it says nothing (canceled, skipped).
    """

    created: float
    passed: bool | None
    url: str = ""
    status: str = field(default="", compare=False)


class ForgeFiles(Protocol):
    """The repositories of one group."""

    def projects(self) -> Sequence[ForgeProject]:
        """Every project of the group and its subgroups, by path.

        Raises:
            AccessDenied, Unreachable: the forge refused or did not answer.
        """

    def read(self, project: ForgeProject, path: str) -> str | None:
        """Text of a file on the default branch, None if there is none."""

    def paths(self, project: ForgeProject) -> Sequence[str]:
        """Path of every file on the default branch."""


class ForgeProposals(Protocol):
    """Merge requests: one for each project and branch."""

    def proposals(self, branch: str) -> Mapping[int, Proposal]:
        """Project → the newest proposal from a branch of that name, whatever became of it."""

    def opened_with(self, label: str) -> Mapping[int, Sequence[Proposal]]:
        """Project → the open proposals that carry a label."""

    def propose(self, project: ForgeProject, change: Change, known: Proposal | None) -> Proposal:
        """Open a proposal, or bring the one that is open up to date.

        Arguments:
            known: what `proposals` said.

        Raises:
            Held: somebody has committed to its branch; nothing was changed.
        """

    def merge_when_ready(self, project: ForgeProject, proposal: Proposal) -> None:
        """Ask for its merge once pipeline and rules allow; a refusal leaves it to people."""

    def withdraw(self, project: ForgeProject, proposal: Proposal) -> None:
        """Close an open proposal without its merge."""

    def revert(self, project: ForgeProject, merged: Proposal, change: Change) -> Proposal:
        """Propose to undo what was merged.

        Arguments:
            change: how that is to look; its files are not looked at.

        Raises:
            UsageError: it cannot be undone any more without a person.
        """


class ForgeRuns(Protocol):
    """Pipelines."""

    def runs(self, project: ForgeProject, limit: int) -> Sequence[PipelineRun]:
        """The newest pipelines of the default branch, newest first."""


class Forge(ForgeFiles, ForgeProposals, ForgeRuns, Protocol):
    """All of it."""


class FakeForge:
    """A forge in memory, where nobody merges unless a test does.

    Arguments:
        files: project path → its files on ``main``.
    """

    def __init__(self, files: Mapping[str, Mapping[str, str]]) -> None:
        self.held = {
            path: ForgeProject(number, path, "main", f"https://git.example.com/{path}")
            for number, path in enumerate(sorted(files), 1)
        }
        self.files = {path: dict(texts) for path, texts in files.items()}
        self.history: dict[int, list[PipelineRun]] = {}
        self.opened: dict[tuple[int, str], Proposal] = {}
        self.touched: set[tuple[int, str]] = set()
        self.wanted: set[tuple[int, int]] = set()
        self._changes: dict[tuple[int, str], Change] = {}
        self._undo: dict[str, tuple[str, Mapping[str, str | None]]] = {}

    def projects(self) -> Sequence[ForgeProject]:
        return list(self.held.values())

    def read(self, project: ForgeProject, path: str) -> str | None:
        return self.files[project.path].get(path)

    def paths(self, project: ForgeProject) -> Sequence[str]:
        return sorted(self.files[project.path])

    def proposals(self, branch: str) -> Mapping[int, Proposal]:
        return {number: one for (number, name), one in self.opened.items() if name == branch}

    def opened_with(self, label: str) -> Mapping[int, Sequence[Proposal]]:
        found: dict[int, list[Proposal]] = {}
        for spot, one in self.opened.items():
            if one.state == "opened" and label in self._changes[spot].labels:
                found.setdefault(one.project, []).append(one)
        return found

    def propose(self, project: ForgeProject, change: Change, known: Proposal | None) -> Proposal:  # noqa: ARG002
        spot = (project.id, change.branch)
        if spot in self.touched:
            raise Held(f"somebody has committed to {change.branch} of {project.path}")
        old = self.opened.get(spot)
        number = old.number if old and old.state == "opened" else 1 + len(self._changes)
        made = Proposal(project.id, number, f"{project.url}/-/{number}", "opened", change.key)
        self.opened[spot], self._changes[spot] = made, change
        return made

    def merge_when_ready(self, project: ForgeProject, proposal: Proposal) -> None:
        self.wanted.add((project.id, proposal.number))

    def withdraw(self, project: ForgeProject, proposal: Proposal) -> None:
        for (number, branch), one in list(self.opened.items()):
            if (number, one.number) == (project.id, proposal.number):
                self.close(project, branch)

    def revert(self, project: ForgeProject, merged: Proposal, change: Change) -> Proposal:
        path, before = self._undo[merged.commit]
        if path != project.path:
            raise UsageError(f"{merged.commit} is no commit of {project.path}")
        return self.propose(project, replace(change, files=before, before=self.files[path]), None)

    def runs(self, project: ForgeProject, limit: int) -> Sequence[PipelineRun]:
        return sorted(self.history.get(project.id, ()), key=lambda one: -one.created)[:limit]

    def merge(self, project: ForgeProject, branch: str, at: float) -> None:
        """Somebody merges what is proposed from a branch."""
        spot = (project.id, branch)
        change, texts = self._changes[spot], self.files[project.path]
        commit = f"{project.id:020x}{len(self._undo):020x}"
        self._undo[commit] = (project.path, {path: texts.get(path) for path in change.files})
        for path, text in change.files.items():
            texts.pop(path, None)
            texts |= {} if text is None else {path: text}
        self.opened[spot] = replace(self.opened[spot], state="merged", merged_at=at, commit=commit)

    def close(self, project: ForgeProject, branch: str) -> None:
        """Somebody declines what is proposed from a branch."""
        spot = (project.id, branch)
        self.opened[spot] = replace(self.opened[spot], state="closed")
