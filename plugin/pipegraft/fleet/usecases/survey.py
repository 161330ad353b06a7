"""How a fleet stands: versions, drift, open merge requests, last pipelines."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from pipegraft.ci.usecases.inject import InjectOptions
from pipegraft.core.errors import OutsideError, PipegraftError
from pipegraft.core.plugins import Plugins
from pipegraft.core.progress import Event, Progress
from pipegraft.fleet.model import ForgeProject, PipelineRun, Proposal
from pipegraft.fleet.ports import Forge
from pipegraft.fleet.usecases.edits import Reader, injecting
from pipegraft.fleet.waves import leave_out

__all__ = ["Standing", "survey"]

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
