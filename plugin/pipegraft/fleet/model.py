"""Many repositories on one forge: projects, proposals, and the pipelines that show how they fare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Change", "ForgeProject", "PipelineRun", "Proposal", "ProposalState"]

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
