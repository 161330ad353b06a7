"""Opens what a board is made of: IaC repositories here, at URLs, or of a group on GitLab."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pipegraft.board.collecting import BoardWord, Opened, Remembered, collect, tell
from pipegraft.board.model import Application, Board
from pipegraft.core.errors import UsageError
from pipegraft.fleet.adapters import open_group
from pipegraft.iac.adapters.git import open_branch
from pipegraft.iac.adapters.git.history import LocalArchives, local_tip
from pipegraft.iac.archive import IacVersions
from pipegraft.iac.commits import RenderedBranch, in_words_of, rendered_by_engines

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
    memory = _load_memory(name, variables)

    def tip_of(repository: str) -> str | None:
        return local_tip(Path(repository), places.branch) if Path(repository).is_dir() else None

    with closing(LocalArchives(variables)) as archives:

        def opener(repository: str, seen: str | None) -> Opened:
            if seen is not None:
                return _Local(archives.open(Path(repository), seen), seen)
            return open_branch(repository, places.branch, Path(), environment=variables)

        board = collect(repositories, opener, title=places.title, tip_of=tip_of, remembered=memory, told=told)
    _save_memory(name, variables, memory)
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
        app = rendered_by_engines(said.folder)
        return tell(RenderedBranch(branch, {said.folder: app}, in_words_of(None, variables)), said)


def _repositories(places: BoardPlaces, variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Repository → what to call it, without credentials."""
    for place in places.places:
        if "://" in place or (":" in place.partition("/")[0] and not Path(place).exists()):
            yield place, _public(place)
            continue
        for found in _find_local(Path(place)):
            yield str(found.absolute()), str(found)
    if places.group is not None:
        for project in open_group(places.group, places.server, variables).projects():
            if project.branch:
                yield project.clone_url, project.clone_url


def _public(url: str) -> str:
    """A URL without what may be a password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if parts.password else url


def _find_local(place: Path) -> list[Path]:
    """The repository at a path, or those directly in the folder there.

    Raises:
        UsageError: there is none.
    """
    if _is_repository(place):
        return [place]
    found = sorted(one for one in place.iterdir() if _is_repository(one)) if place.is_dir() else []
    if not found:
        held = "a folder without any" if place.is_dir() else "a file" if place.exists() else "nothing"
        raise UsageError(
            f"expected an IaC repository at {place}, or a folder of some, found {held}",
            fix="name clones, bare repositories, URLs, or a folder that holds repositories",
        )
    return found


@dataclass(frozen=True, slots=True)
class _Local:
    """`Opened` of a commit of a repository on this machine."""

    archive: IacVersions
    commit: str

    def tip(self) -> str:
        return self.commit

    def close(self) -> None:
        """Nothing was opened."""


def _load_memory(name: str, variables: Mapping[str, str]) -> Remembered:
    """What was read before for a board of this name; empty the first time."""
    try:
        return Remembered.parse(_memory(name, variables).read_text("utf-8"))
    except OSError:
        return Remembered({})


def _save_memory(name: str, variables: Mapping[str, str], remembered: Remembered) -> None:
    """Keep it for the next time; a reader meanwhile sees the old one or the new one."""
    path = _memory(name, variables)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
        file.write(remembered.dump())
    Path(file.name).replace(path)


def _is_repository(place: Path) -> bool:
    return (place / ".git").exists() or ((place / "HEAD").is_file() and (place / "objects").is_dir())


def _memory(name: str, variables: Mapping[str, str]) -> Path:
    """Below ``XDG_CACHE_HOME`` (XDG Base Directory Specification)."""
    caches = Path(variables.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "pipegraft" / f"board-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
