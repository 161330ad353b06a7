"""Opens what a board is made of: IaC repositories here, at URLs, or of a group on GitLab."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pipegraft.board.adapters.repositories import find_local, load_memory, local_tip, open_local, save_memory
from pipegraft.board.collecting import BoardWord, Opened, collect, tell
from pipegraft.board.model import Application, Board
from pipegraft.core.errors import UsageError
from pipegraft.fleet.adapters.gitlab_group import open_group
from pipegraft.iac.adapters.git import open_branch
from pipegraft.iac.adapters.git.history import LocalArchives
from pipegraft.iac.commit_message import in_words_of
from pipegraft.iac.rendered import RenderedBranch

__all__ = ["BoardPlaces", "read_board", "tell_board"]


@dataclass(frozen=True, slots=True)
class BoardPlaces:
    """What a board shows.

    Arguments:
        places: URLs, repositories on this machine, folders that hold some.
        group: full path or number of a group on GitLab whose projects are shown too, None for none.
        server: URL of that GitLab, ``CI_SERVER_URL`` if None.
        branch: the branch of all of them.
        title: of the board.
    """

    places: tuple[str, ...]
    group: str | None = None
    server: str | None = None
    branch: str = "main"
    title: str = "Delivery"


def read_board(
    places: BoardPlaces,
    variables: Mapping[str, str],
    told: Callable[[int, int], None] = lambda _done, _of: None,
) -> Board:
    """Read everything.

    Arguments:
        variables: of this process, for credentials.
        told: hears how many repositories of how many are read.

    Raises:
        UsageError: a place holds no repository, or no place is named.
        Unreachable, AccessDenied: the group cannot be listed.
    """
    repositories = dict(_repositories(places, variables))
    if not repositories:
        raise UsageError(
            "expected IaC repositories, none is named",
            fix="name repositories, URLs or a folder: pipegraft board REPOSITORY…, or a group with --group",
        )
    name = f"{places.branch} {' '.join(repositories)}"
    memory = load_memory(name, variables)
    tip_of = partial(local_tip, branch=places.branch)
    with closing(LocalArchives(variables)) as archives:

        def opener(repository: str, seen: str | None) -> Opened:
            if seen is not None:
                return open_local(repository, seen, archives)
            return open_branch(repository, places.branch, Path(), environment=variables)

        board = collect(repositories, opener, title=places.title, tip_of=tip_of, remembered=memory, told=told)
    save_memory(name, variables, memory)
    return board


def tell_board(
    places: BoardPlaces, variables: Mapping[str, str], application: Application, said: BoardWord
) -> str:
    """Write what somebody said of an application on the board; answers what was done.

    Raises:
        UsageError: the application is not of these places, or the word makes no sense where it stands.
        PipegraftError: the repository cannot be written.
    """
    names = {shown: one for one, shown in _repositories(places, variables)}
    if application.repository not in names:
        raise UsageError(f"{application.repository} is not on this board", fix="load the page again")
    place = names[application.repository]
    with closing(open_branch(place, places.branch, Path(), environment=variables)) as branch:
        return tell(RenderedBranch(branch, {}, in_words_of(None, variables)), said)


def _repositories(places: BoardPlaces, variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Repository → what to call it, without credentials."""
    for place in places.places:
        if "://" in place or (":" in place.partition("/")[0] and not Path(place).exists()):
            yield place, _public(place)
            continue
        for found in find_local(Path(place)):
            yield str(found.absolute()), str(found)
    if places.group is not None:
        for project in open_group(places.group, places.server, variables).projects():
            if project.branch:
                yield project.clone_url, project.clone_url


def _public(url: str) -> str:
    """A URL without what may be a password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if parts.password else url
