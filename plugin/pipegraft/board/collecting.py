"""Many IaC repositories as one board, and a word from the board to a gray release.

What did not change since the last time is not read again; a word becomes the commit that `pipegraft gray`
makes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from pipegraft import __version__
from pipegraft.appspec.environment_file import environment_path, read_environment
from pipegraft.appspec.rendering.yaml_output import rendered_path
from pipegraft.audit.dora import WEEK
from pipegraft.audit.release_commits import Book
from pipegraft.board.model import Application, Board, Links, cell_of, in_order, leads_of
from pipegraft.core.errors import PipegraftError, TipMoved, UsageError
from pipegraft.core.reading import load_json
from pipegraft.core.release import Source
from pipegraft.gray.branch import GrayBranch, GraySubject
from pipegraft.gray.history import STEPS
from pipegraft.gray.machine import move_for
from pipegraft.iac.archive import IacVersions
from pipegraft.iac.ports import IacBranch
from pipegraft.iac.released_images import state_path

__all__ = [
    "WORDS",
    "BoardWord",
    "Opened",
    "Opener",
    "Remembered",
    "Word",
    "applications_in",
    "collect",
    "links_of",
    "read_application",
    "tell",
]

_AT_ONCE = 4
"""Repositories that are read at the same time."""
_REMEMBERED = TypeAdapter(tuple[Application, ...])


class Opened(Protocol):
    """An IaC branch that is read."""

    @property
    def archive(self) -> IacVersions:
        """Its whole history."""

    def tip(self) -> str:
        """Its newest commit."""

    def close(self) -> None:
        """Let go of it."""


Opener = Callable[[str, str | None], Opened]
"""Opens the branch of a repository, by its URL or path, and its newest commit where that is known."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was read of repositories before.

    Arguments:
        entries: repository → its tip then, the week, and the applications as plain values.
    """

    entries: dict[str, dict[str, Any]]

    @classmethod
    def parse(cls, text: str) -> Remembered:
        """From `dump`'s text; empty if another version wrote it, or something else stands there."""
        try:
            found = load_json(text)
        except ValueError:
            return cls({})
        fits = isinstance(found, dict) and found.get("version") == __version__
        return cls(found["repositories"] if fits else {})

    def dump(self) -> str:
        """As JSON."""
        return json.dumps({"version": __version__, "repositories": self.entries})

    def get(self, repository: str, tip: str, week: int) -> tuple[Application, ...] | None:
        """What a repository held at this tip, None if that is not known."""
        entry = self.entries.get(repository)
        if not isinstance(entry, dict) or (entry.get("tip"), entry.get("week")) != (tip, week):
            return None
        try:
            return _REMEMBERED.validate_python(entry.get("applications"))
        except ValidationError:
            return None

    def put(self, repository: str, tip: str, week: int, applications: Sequence[Application]) -> None:
        """Remember what a repository held."""
        held = [asdict(one) for one in applications]
        self.entries[repository] = {"tip": tip, "week": week, "applications": held}


def collect(
    repositories: Mapping[str, str],
    open_branch: Opener,
    *,
    title: str,
    tip_of: Callable[[str], str | None] = lambda _repository: None,
    now: float | None = None,
    remembered: Remembered | None = None,
    told: Callable[[int, int], None] = lambda _done, _of: None,
) -> Board:
    """Read every repository; one that cannot be read becomes a row that says why.

    Arguments:
        repositories: URL or path → what to call it on the board, without credentials.
        open_branch: opens one.
        title: of the board.
        tip_of: a repository's newest commit, where that is known without opening it.
        now: seconds since the epoch.
        remembered: what was read before; it is brought up to date.
        told: hears how many of how many are read.
    """
    moment = time.time() if now is None else now
    memory = Remembered({}) if remembered is None else remembered
    reader = _Reader(open_branch, tip_of, moment, memory)
    found: list[Application] = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        jobs = [pool.submit(reader.read, repository, shown) for repository, shown in repositories.items()]
        for done, job in enumerate(jobs, 1):
            found += job.result()
            told(done, len(jobs))
    return Board(title, moment, tuple(sorted(found, key=lambda one: (one.name.lower(), one.id))))


def applications_in(paths: Iterable[str]) -> dict[str, dict[str, str]]:
    """Folder → environment → the file that tells of its releases.

    Arguments:
        paths: every file of the repository.
    """
    found: dict[str, dict[str, str]] = {}
    states: dict[str, dict[str, str]] = {}
    for path in paths:
        for into, make in ((found, environment_path), (states, state_path)):
            folder, _, name = path.rpartition("/")
            parent = folder.rpartition("/")[0]
            environment = name.removesuffix(".yaml")
            if name.endswith(".yaml") and make(parent or None, environment) == path:
                into.setdefault(parent, {})[environment] = path
    for folder, environments in states.items():
        known = found.setdefault(folder, {})
        for name, path in environments.items():
            known.setdefault(name, path)
        known.pop("guard", None)
        if not known:
            del found[folder]
    return found


@dataclass(frozen=True, slots=True)
class _Reader:
    open_branch: Opener
    tip_of: Callable[[str], str | None]
    now: float
    memory: Remembered

    def read(self, repository: str, shown: str) -> Sequence[Application]:
        week = int(self.now // WEEK)
        try:
            seen = self.tip_of(repository)
            known = self.memory.get(repository, seen, week) if seen else None
            if known is not None:
                return known
            branch = self.open_branch(repository, seen)
            try:
                tip = branch.tip()
                known = self.memory.get(repository, tip, week)
                if known is not None:
                    return known
                applications = _applications(branch.archive, shown, self.now)
            finally:
                branch.close()
        except PipegraftError as error:
            return [_unreadable(shown, error.problem.message)]
        self.memory.put(repository, tip, week, applications)
        return applications


def _unreadable(shown: str, problem: str) -> Application:
    name = shown.rstrip("/").rpartition("/")[2].removesuffix(".git")
    return Application(name, shown, links=links_of(shown), problem=problem)


def _applications(archive: IacVersions, shown: str, now: float) -> list[Application]:
    held = archive.files()
    found = applications_in(held)
    if not found:
        return [_unreadable(shown, "there is no environments/NAME.yaml and no .pipegraft/NAME.yaml")]
    versions = archive.versions([path for files in found.values() for path in files.values()])
    specs = {folder: held.get(f"{folder}/app.yaml".removeprefix("/"), "") for folder in found}
    wanted = [name for one in versions for name in one.contents.values() if name]
    texts = dict(archive.contents([name for name in (*specs.values(), *wanted) if name]))

    def held_texts(names: Iterable[str]) -> Iterable[tuple[str, str]]:
        return ((name, texts[name]) for name in names if name in texts)

    applications: list[Application] = []
    for folder, files in sorted(found.items()):
        books = [Book(name, path, versions, held_texts) for name, path in files.items()]
        told = _spec_name(texts.get(specs[folder], ""))
        name = told or _told_name(books) or folder or shown.rpartition("/")[2]
        applications.append(read_application(name, shown, folder, books, now))
    return applications


def _spec_name(text: str) -> str:
    found = next((line for line in text.splitlines() if line.startswith("app:")), "")
    return found.removeprefix("app:").split("#")[0].strip().strip("'\"")


def _told_name(books: Sequence[Book]) -> str:
    """The application that the newest commit of ours speaks of."""
    told = (one.trailers.get("Pipegraft-App", "") for book in books for one in reversed(book.versions))
    return next((name for name in told if name), "")


Word = Literal["approve", "pause", "abort"]
WORDS: tuple[Word, ...] = ("approve", "pause", "abort")


@dataclass(frozen=True, slots=True)
class BoardWord:
    """What somebody said.

    Arguments:
        app: name of the application.
        folder: its folder in the IaC repository, empty for the root.
        environment: name of the environment.
        release: number of the gray release that is meant.
        word: what to do.
        by: who says so; it goes into the commit.
    """

    app: str
    folder: str
    environment: str
    release: int
    word: Word
    by: str


def tell(branch: IacBranch, said: BoardWord) -> str:
    """Write it; answers what was done.

    Raises:
        UsageError: another release is under way by now, or the word makes no sense where it stands.
        TipMoved: the release moved on while this was written.
    """
    path, tip = environment_path(said.folder or None, said.environment), branch.tip()
    if branch.read(rendered_path(said.folder, said.environment), tip) is not None:
        raise UsageError(
            f"the manifests of {said.environment} are committed with each change, and only its delivery.yaml "
            "says how they are rendered",
            fix=f"in the source repository: pipegraft gray {said.word} --env {said.environment}",
        )
    block = read_environment(branch.read(path, tip) or "", path).gray
    if block is None or block.release.number != said.release:
        now = "none" if block is None else f"release {block.release.number}"
        raise UsageError(
            f"expected the gray release {said.release} in {said.environment}, found {now}",
            fix="load the page again",
        )
    steps = _steps_of_held(branch, path, said) if said.word == "approve" and block.phase == "held" else ()
    # The file may name the source in any way people like; only releases of ours name a whole commit.
    source = Source.model_construct(commit=block.release.source, number=block.release.number, pipeline="")
    subject = GraySubject(said.app, said.environment, said.folder or None, source, steps)
    gray = GrayBranch(branch, subject)
    look = gray.look()
    if gray.write(look, move_for(said.word, look.standing, steps, said.by)) is None:
        raise TipMoved("the release moved on while this was written", fix="load the page again")
    done = {"approve": "goes on", "pause": "is paused", "abort": "is taken back"}[said.word]
    return f"release {said.release} in {said.environment} {done}, by {said.by}"


def _steps_of_held(branch: IacBranch, path: str, said: BoardWord) -> tuple[int, ...]:
    """The weights of a release that the judge holds, from the commit that holds it.

    Raises:
        UsageError: that commit does not tell them: a version before 0.2.0 made it.
    """
    for commit in branch.log(path):
        trailers = commit.trailers
        if (trailers.get("Pipegraft-Release"), trailers.get("Pipegraft-Step")) == (str(said.release), "hold"):
            if weights := trailers.get(STEPS):
                return tuple(map(int, weights.split()))
            break
    raise UsageError(
        "a release that the judge holds goes on to its next weight, which no commit here names",
        fix=f"in the source repository: pipegraft gray approve --env {said.environment}",
    )


def read_application(
    name: str, repository: str, folder: str, books: Iterable[Book], now: float
) -> Application:
    """One application.

    Arguments:
        repository: its IaC repository, without credentials.
        folder: its folder there, empty for the root.
        books: the history of each environment's file.
        now: seconds since the epoch.
    """
    by_name = {book.environment: book for book in books}
    order = in_order(by_name)
    for book in by_name.values():
        book.load()
    cells = tuple(cell_of(by_name[one], now) for one in order)
    leads = tuple(leads_of([by_name[one] for one in order], cells))
    return Application(name, repository, folder, cells, leads, links_of(repository))


def links_of(repository: str) -> Links:
    """Pages of a forge for a repository, as far as its address tells.

    Arguments:
        repository: URL or path; ``ssh`` addresses are taken for the same host's web pages.
    """
    address = urlsplit(repository)
    if address.scheme in ("http", "https") and address.hostname:
        host, path = f"{address.scheme}://{address.netloc.rpartition('@')[2]}", address.path
    elif address.scheme == "ssh" and address.hostname:
        host, path = f"https://{address.hostname}", address.path
    elif "@" in repository.partition(":")[0] and "://" not in repository:
        user_and_host, _, path = repository.partition(":")
        host, path = f"https://{user_and_host.rpartition('@')[2]}", f"/{path}"
    else:
        return Links()
    page = f"{host}{path.removesuffix('/').removesuffix('.git')}"
    if "github." in host:
        return Links(page, f"{page}/commit/{{}}", f"{page}/pulls")
    return Links(page, f"{page}/-/commit/{{}}", f"{page}/-/merge_requests")
