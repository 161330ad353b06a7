"""Many projects at once: one change proposed to each, how each stands, and each one's next step.

A change is one merge request a project, brought up to date in place. How a project stands is its version, its
drift, its merge requests and its newest pipeline.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pipegraft.ci.hooks import InjectOptions
from pipegraft.core.errors import Held, OutsideError, PipegraftError, UsageError
from pipegraft.core.plugins import Plugins
from pipegraft.core.ports import Event, Progress
from pipegraft.fleet.ports import Change, Forge, ForgeProject, PipelineRun, Proposal
from pipegraft.fleet.usecases.edits import Edit, Editor, Reader, injecting
from pipegraft.fleet.waves import leave_out, matches, out_of_reach
from pipegraft.iac.adapters.git import clone_newest
from pipegraft.maturity.hooks import Assessment
from pipegraft.maturity.usecases import assess_folder, next_step

__all__ = [
    "Campaign",
    "Clones",
    "Outcome",
    "Standing",
    "State",
    "assess_group",
    "propose_to_all",
    "propose_to_one",
    "select",
    "survey",
    "taking_next_step",
]

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


Stand = Literal["current", "drifted", "absent", "skipped", "refused", "failed"]
_LABEL = "pipegraft"


@dataclass(frozen=True, slots=True)
class Standing:
    """How one project stands.

    Arguments:
        state: `current`: an injection would change nothing; `drifted`: it would; `absent`: it carries no
            delivery; `skipped`: a fleet leaves it alone; `refused`: its own files do not allow to tell;
            `failed`: the forge did not tell.
        version: of the templates it takes, None without delivery.
        note: why it is skipped, refused or failed, or which files have drifted.
        proposals: open merge requests of fleets.
        last: the newest pipeline of its default branch.
    """

    project: ForgeProject
    state: Stand
    version: str | None = None
    note: str = ""
    proposals: Sequence[Proposal] = ()
    last: PipelineRun | None = None


def survey(
    forge: Forge, projects: Sequence[ForgeProject], plugins: Plugins, progress: Progress, *, jobs: int
) -> list[Standing]:
    """Look at every project; nothing is written.

    Arguments:
        jobs: how many projects to look at at once.
    """
    opened = forge.opened_with(_LABEL)
    inject = injecting(plugins, InjectOptions())
    done, lock = 0, threading.Lock()

    def one(project: ForgeProject) -> Standing:
        nonlocal done
        if reason := leave_out(project):
            return Standing(project, "skipped", note=reason)
        requests, last = opened.get(project.id, ()), None
        try:
            last = next(iter(forge.runs(project, 1)), None)
            edit = inject(Reader(forge, project))
        except PipegraftError as error:
            state: Stand = "failed" if isinstance(error, OutsideError) else "refused"
            return Standing(project, state, note=str(error), proposals=requests, last=last)
        finally:
            with lock:
                done += 1
                if done % max(1, len(projects) // 20) == 0:
                    progress.emit(Event("progress", f"{done} of {len(projects)}", "projects"))
        if edit.skipped or edit.pinned is None:
            return Standing(project, "absent", None, edit.skipped, requests, last)
        note = ", ".join(edit.files)
        return Standing(project, "drifted" if edit.files else "current", edit.pinned, note, requests, last)

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        return list(pool.map(one, projects))


@dataclass(frozen=True, slots=True)
class Clones:
    """How projects are cloned.

    Arguments:
        token: for every repository of the server of the projects; no other server sees it.
        environment: variables of this process.
    """

    token: str
    environment: Mapping[str, str]

    @contextmanager
    def of(self, project: ForgeProject) -> Iterator[Path]:
        """The newest files of a project's default branch, for as long as the block lasts."""
        with tempfile.TemporaryDirectory(prefix="pipegraft-") as place:
            folder = Path(place) / project.path.rpartition("/")[2]
            clone_newest(project.clone_url, project.branch, folder, self._variables())
            yield folder

    def reach(self, project: ForgeProject) -> Callable[[str], Mapping[str, str] | None]:
        """The IaC repositories that may be asked: those on the project's own server."""
        own = urlsplit(project.clone_url)

        def variables(url: str) -> Mapping[str, str] | None:
            asked = urlsplit(url)
            return self._variables() if (asked.scheme, asked.netloc) == (own.scheme, own.netloc) else None

        return variables

    def _variables(self) -> Mapping[str, str]:
        return {**self.environment, "PIPEGRAFT_IAC_TOKEN": self.token}


def assess_group(
    projects: Sequence[ForgeProject],
    plugins: Plugins,
    clones: Clones,
    progress: Progress,
    *,
    now: float,
    jobs: int,
) -> list[Assessment]:
    """Assess every project that a fleet does not leave alone; what cannot be read is warned of.

    Arguments:
        now: seconds since the epoch.
        jobs: how many projects to look at at once.
    """
    wanted = [project for project in projects if not leave_out(project)]
    done, lock = 0, threading.Lock()

    def one(project: ForgeProject) -> Assessment | None:
        nonlocal done
        try:
            with clones.of(project) as folder:
                found = assess_folder(folder, plugins, now, reach=clones.reach(project))
        except PipegraftError as error:
            progress.emit(Event("warning", error.problem.message, project.path))
            return None
        with lock:
            done += 1
            if done % max(1, len(wanted) // 20) == 0:
                progress.emit(Event("progress", f"{done} of {len(wanted)}", "projects"))
        return replace(found, name=project.path)

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        return [found for found in pool.map(one, wanted) if found]


def taking_next_step(plugins: Plugins, clones: Clones, *, now: float, signal: str | None) -> Editor:
    """Take the lowest step that a machine can take.

    Arguments:
        signal: the signal that is meant, whatever its stage.
    """
    inject = injecting(plugins, InjectOptions())

    def edit(reader: Reader) -> Edit:
        with clones.of(reader.project) as folder:
            made = next_step(folder, plugins, now, signal)
        if made is None:
            return Edit(skipped="nothing is left that can be done from here")
        claim = f"{made.assessed.signal.name}: {made.assessed.signal.claim}"
        if made.files:
            return Edit(made.files, made.before, title=claim)
        if made.command[:1] == ("inject",):
            return replace(inject(reader), title=claim)
        return Edit(skipped=f"{claim}: `pipegraft {' '.join(made.command)}` does it, in a clone")

    return edit
