"""How a fleet stands: versions, drift, merge requests, pipelines; and each project's next step."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pipegraft.ci.usecases import InjectOptions
from pipegraft.core.errors import OutsideError, PipegraftError
from pipegraft.core.plugins import Plugins
from pipegraft.core.ports import Event, Progress
from pipegraft.fleet.model import ForgeProject, PipelineRun, Proposal
from pipegraft.fleet.ports import Forge
from pipegraft.fleet.usecases.edits import Edit, Editor, Reader, injecting
from pipegraft.fleet.waves import leave_out
from pipegraft.iac.adapters.git import clone_newest
from pipegraft.maturity.stages import Assessment
from pipegraft.maturity.usecases import assess_folder, next_step

__all__ = ["Clones", "Standing", "assess_group", "survey", "taking_next_step"]

State = Literal["current", "drifted", "absent", "skipped", "refused", "failed"]
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
    state: State
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
            state: State = "failed" if isinstance(error, OutsideError) else "refused"
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
