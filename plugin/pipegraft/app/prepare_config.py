"""A change of configuration, prepared as a gray release: the same stage as for images, without any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipegraft.app.gray import choose_environment
from pipegraft.app.run import RunRequest, run_stages
from pipegraft.appspec.environment_file import environment_path, read_environment
from pipegraft.ci.hooks import CI_SYSTEMS
from pipegraft.core.errors import UsageError
from pipegraft.core.hooks import connected
from pipegraft.core.ports import Event, Progress
from pipegraft.core.stage import Connections, Project
from pipegraft.iac.ports import IAC
from pipegraft.iac.released_images import read_state, state_path

__all__ = ["Prepared", "prepare_config"]


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
