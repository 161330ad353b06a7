"""Propose one change to many projects: one merge request each, brought up to date in place."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

from pipegraft.core.errors import Held, OutsideError, PipegraftError, UsageError
from pipegraft.core.ports import Event, Progress
from pipegraft.fleet.model import Change, ForgeProject, Proposal
from pipegraft.fleet.ports import Forge
from pipegraft.fleet.usecases.edits import Edit, Editor, Reader
from pipegraft.fleet.waves import matches, out_of_reach

__all__ = ["Campaign", "Outcome", "State", "propose_to_all", "propose_to_one", "select"]

_WRITES = frozenset({"proposed", "updated"})

State = Literal[
    "current", "proposed", "updated", "waiting", "declined", "skipped", "held", "refused", "failed"
]


@dataclass(frozen=True, slots=True)
class Campaign:
    """A change to a fleet.

    Arguments:
        branch: of the merge requests; names the campaign.
        title: of the merge requests, and of the commits.
        description: what people should know, in Markdown.
        edit: what it does in one repository.
        labels: of the merge requests.
        auto_merge: merge each as soon as its project allows.
    """

    branch: str
    title: str
    description: str
    edit: Editor
    labels: tuple[str, ...] = ("pipegraft",)
    auto_merge: bool = False

    def change(self, edit: Edit, key: str) -> Change:
        """The campaign's change to one project."""
        title = edit.title or self.title
        return Change(self.branch, edit.files, edit.before, key, title, self.description, self.labels)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a campaign did in one project.

    Arguments:
        state: `current`: it is as it should be; `proposed` and `updated`: a merge request was opened or
            brought up to date, or would be; `waiting`: one is open that says just this; `declined`: people
            closed one that said just this; `skipped`: it is none of its business; `held`: people work on
            its branch; `refused`: the change cannot be made there; `failed`: the forge did not do it.
        note: why, one line.
        edit: what changes.
        proposal: the merge request.
    """

    project: ForgeProject
    state: State
    note: str = ""
    edit: Edit = field(default_factory=Edit)
    proposal: Proposal | None = None

    @property
    def at_target(self) -> bool:
        """Whether the project has what the campaign wants."""
        return self.state == "current"


def select(forge: Forge, patterns: Sequence[str]) -> list[ForgeProject]:
    """The projects a fleet's commands work on, those that they leave alone included.

    Raises:
        UsageError: there are projects, and the patterns fit none.
    """
    known = forge.projects()
    found = [project for project in known if matches(project, patterns)]
    if known and not found:
        raise UsageError(
            f"expected a project that fits {' or '.join(map(repr, patterns))}, none of {len(known)} does",
            fix=f"write patterns for whole paths, such as {known[0].path}",
        )
    return found


def propose_to_all(
    forge: Forge,
    campaign: Campaign,
    projects: Sequence[ForgeProject],
    progress: Progress,
    *,
    jobs: int,
    dry_run: bool = False,
) -> list[Outcome]:
    """Propose a campaign's change to projects, several at a time; what one refuses stops no other.

    It may be cut short and run again at any time: what is open is found and brought up to date.

    Arguments:
        jobs: how many projects to work on at once.
        dry_run: propose nothing, and say what would be.
    """
    known = forge.proposals(campaign.branch)
    done, lock = 0, threading.Lock()

    def one(project: ForgeProject) -> Outcome:
        nonlocal done
        outcome = propose_to_one(forge, campaign, project, known, dry_run=dry_run)
        with lock:
            done += 1
            _tell(progress, outcome)
            if done % max(1, len(projects) // 20) == 0:  # a log needs no line for each
                progress.emit(Event("progress", f"{done} of {len(projects)}", "projects"))
        return outcome

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        return list(pool.map(one, projects))


def propose_to_one(
    forge: Forge,
    campaign: Campaign,
    project: ForgeProject,
    known: Mapping[int, Proposal],
    *,
    dry_run: bool = False,
) -> Outcome:
    """Propose a campaign's change to one project.

    Arguments:
        known: project → its newest proposal from the campaign's branch.
    """
    if reason := out_of_reach(project):
        return Outcome(project, "skipped", reason)
    held = known.get(project.id)
    try:
        edit = campaign.edit(Reader(forge, project))
        if edit.skipped:
            return Outcome(project, "skipped", edit.skipped, edit)
        if not edit.files:
            return Outcome(project, "current", edit=edit, proposal=held)
        key = _key(edit, project.branch)
        state = _state(held, key)
        made = held
        if not dry_run and state in _WRITES:
            made = forge.propose(project, campaign.change(edit, key), held)
        if made and not dry_run and campaign.auto_merge and state != "declined":
            forge.merge_when_ready(project, made)
        return Outcome(project, state, made.url if made else "", edit, made)
    except PipegraftError as error:
        return _stopped(project, error, held)


def _stopped(project: ForgeProject, error: PipegraftError, held: Proposal | None) -> Outcome:
    state: State = (
        "held" if isinstance(error, Held) else "failed" if isinstance(error, OutsideError) else "refused"
    )
    return Outcome(project, state, str(error), proposal=held)


def _state(held: Proposal | None, key: str) -> State:
    if held and held.key == key and held.state != "merged":
        return "waiting" if held.state == "opened" else "declined"
    return "updated" if held and held.state == "opened" else "proposed"


def _key(edit: Edit, branch: str) -> str:
    """Names an edit by what it makes of what, and where it is to go: default branches are renamed."""
    content = json.dumps([branch, dict(edit.files), dict(edit.before)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:20]


_KINDS = {
    "proposed": "commit",
    "updated": "commit",
    "held": "warning",
    "refused": "failed",
    "failed": "failed",
}


def _tell(progress: Progress, outcome: Outcome) -> None:
    kind = _KINDS.get(outcome.state)
    if kind:
        note = outcome.note.splitlines()[0] if outcome.note else ""
        message = f"{outcome.state}: {note}" if note else outcome.state
        progress.emit(Event(kind, message, outcome.project.path, {"state": outcome.state}))
