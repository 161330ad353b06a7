"""Whether a later commit of the IaC repository took a release back: its content tells, not its ancestry."""

from __future__ import annotations

from collections.abc import Callable

from pipegraft.appspec.environment_file import environment_path, read_environment
from pipegraft.core.errors import PipegraftError
from pipegraft.iac.bump.state import read_state, state_path
from pipegraft.iac.ports.repository import IacRepository

__all__ = ["taken_back"]


def taken_back(
    repository: IacRepository, folder: str | None, environment: str, number: int
) -> Callable[[str], str | None]:
    """Why a commit that contains a release's commit does not hold that release or a newer one.

    Arguments:
        folder: the app's folder in a repository shared by several, None for the root.
        number: of the release.

    Returns:
        Commit → the reason as a clause, or None where it holds the release, or nobody can tell.
    """
    known: dict[str, str | None] = {}

    def objection(revision: str) -> str | None:
        if revision not in known:
            known[revision] = _objection(repository, folder, environment, number, revision)
        return known[revision]

    return objection


def _objection(
    repository: IacRepository, folder: str | None, environment: str, number: int, revision: str
) -> str | None:
    paths = environment_path(folder, environment), state_path(folder, environment)
    try:
        texts = [repository.read(path, revision) for path in paths]
        declared = read_environment(texts[0] or "", paths[0])
        state = read_state(texts[1], paths[1])
    except PipegraftError:
        return None  # what cannot be read now says nothing; the engine's own verdict stands
    if state.taken_back and state.taken_back.number >= number:
        return f"release {number} was rolled back by {revision[:12]}"
    marks = (declared.release, declared.gray.release if declared.gray else None, state.release)
    newest = max((mark.number for mark in marks if mark), default=None)
    if newest is None or newest >= number:
        return None
    return f"{revision[:12]} takes release {number} back: it has release {newest}"
