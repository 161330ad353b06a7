"""`pipegraft assess`: where repositories stand on the path, and the next step of each dimension."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, partial
from pathlib import Path

from pipegraft.appspec.environment_file import app_path, environment_path, read_environment
from pipegraft.appspec.importing.builds import Tree, pipelines_in
from pipegraft.appspec.model import App, AppEnvironment
from pipegraft.appspec.resource_binding import UNBOUND
from pipegraft.appspec.spec import read_app, resolve_in
from pipegraft.audit.dora import DAY, WEEK, deployments_of, figures_of
from pipegraft.audit.usecases import Place as AuditPlace
from pipegraft.audit.usecases import Scene, open_scene
from pipegraft.core.adapters.files import write_together
from pipegraft.core.adapters.git_command import GitCommand
from pipegraft.core.delivery import Delivery
from pipegraft.core.delivery_file import parse_document
from pipegraft.core.errors import PipegraftError, Place, UsageError
from pipegraft.core.plugins import Plugins
from pipegraft.iac.adapters.git import GitBranch
from pipegraft.maturity.hooks import MATURITY_SIGNALS, Assessed, Assessment, assess
from pipegraft.maturity.jobs import gitlab_ci, jenkins_ci
from pipegraft.maturity.model import Answer, Ci, DeliveryPace, Evidence, Iac, Signal

__all__ = ["FileTree", "Mending", "Reach", "RepositoryView", "assess_folder", "next_step", "open_repository"]

_DELIVERY = "delivery.yaml"


class FileTree:
    """Files and their texts.

    Arguments:
        files: path of every file.
        read: path → text, None if it is no text.
    """

    def __init__(self, files: Sequence[str], read: Callable[[str], str | None]) -> None:
        self.files = tuple(sorted(files))
        self._known = frozenset(self.files)
        self._read = lru_cache(maxsize=None)(read)

    def read(self, path: str) -> str | None:
        return self._read(path) if path in self._known else None

    def find(self, *patterns: str) -> Sequence[str]:
        return self._find(patterns)

    @cache  # noqa: B019 - a view lives as long as one assessment
    def _find(self, patterns: tuple[str, ...]) -> Sequence[str]:
        whole, names = _compiled(patterns)
        return tuple(
            path
            for path in self.files
            if (whole and whole.fullmatch(path)) or (names and names.fullmatch(path.rpartition("/")[2]))
        )

    def search(self, pattern: str, *patterns: str, limit: int = 3) -> Sequence[Evidence]:
        compiled = re.compile(pattern, re.MULTILINE)
        found: list[Evidence] = []
        for path in self.find(*patterns):
            text = self.read(path) or ""
            for match in compiled.finditer(text):
                found.append(evidence_at(path, text, match.start()))
                if len(found) == limit:
                    return found
        return found


class RepositoryView(FileTree):
    """A source repository; see `pipegraft.maturity.hooks.Repository`.

    Arguments:
        name: what to call it.
        iac: opens the IaC repository of a delivery; answers None if it cannot be read from here.
    """

    def __init__(
        self,
        name: str,
        files: Sequence[str],
        read: Callable[[str], str | None],
        iac: Callable[[Delivery], Iac | None] = lambda _delivery: None,
    ) -> None:
        super().__init__(files, read)
        self.name = name
        self._open_iac = iac

    @cached_property
    def ci(self) -> Ci | None:
        found = pipelines_in(Tree(self.files, self.read))
        if not found or (len(found) > 1 and found[0] != ".gitlab-ci.yml"):
            return None
        text = self.read(found[0]) or ""
        if found[0].endswith((".yml", ".yaml")):
            return gitlab_ci(found[0], text, self.read, self.find)
        return jenkins_ci(found[0], text)

    @cached_property
    def _delivery(self) -> tuple[Delivery | None, str]:
        text = self.read(_DELIVERY)
        if text is None:
            return None, ""
        try:
            return parse_document(text, _DELIVERY, Delivery), ""
        except PipegraftError as error:
            return None, str(error.problems[0])

    @property
    def delivery(self) -> Delivery | None:
        return self._delivery[0]

    @property
    def delivery_problem(self) -> str:
        return self._delivery[1]

    @cached_property
    def iac(self) -> Iac | None:
        return self._open_iac(self.delivery) if self.delivery else None


def evidence_at(path: str, text: str, at: int) -> Evidence:
    """The line of a text that holds a position."""
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    line = text[start : end if end >= 0 else len(text)]
    return Evidence(Place(path, text.count("\n", 0, at) + 1), line.strip()[:160])


@lru_cache(maxsize=512)
def _compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
    """One expression for patterns of paths and one for patterns of names."""
    whole = [fnmatch.translate(pattern) for pattern in patterns if "/" in pattern]
    names = [fnmatch.translate(pattern) for pattern in patterns if "/" not in pattern]
    return tuple(re.compile("|".join(group)) if group else None for group in (whole, names))  # type: ignore[return-value]


_WINDOW = 90 * DAY
"""Seconds of history that the pace of delivery is measured over."""
_LARGEST = 512 << 10
"""Bytes of a file that is read; what is larger is no source."""


Reach = Callable[[str], Mapping[str, str] | None]
"""URL of an IaC repository on a server → variables to read it with, None if it is not to be asked."""


def _nowhere(_url: str) -> None:
    return None


def assess_folder(
    folder: Path, plugins: Plugins, now: float, iac: Path | None = None, reach: Reach = _nowhere
) -> Assessment:
    """Assess the repository in a folder.

    Arguments:
        now: seconds since the epoch.
        iac: a clone of its IaC repository, where the delivery names one that is not on this machine.
        reach: which servers may be asked for it.

    Raises:
        UsageError: there is no such folder, or it is a bare repository.
        PluginError: two signals have the same name.
    """
    signals = plugins.all(MATURITY_SIGNALS).values()
    with open_repository(folder, now, iac, reach) as repository:
        return assess(repository, signals)


@contextmanager
def open_repository(
    folder: Path, now: float, iac: Path | None = None, reach: Reach = _nowhere
) -> Iterator[RepositoryView]:
    """A folder as signals see it, its IaC repository readable for as long as the context is open.

    Arguments and errors: those of `assess_folder`.
    """
    if not folder.is_dir():
        raise UsageError(
            "expected a folder with a repository, found none", place=Place(str(folder)), fix="name a folder"
        )
    if _is_bare(folder):
        raise UsageError(
            "expected a repository with its files, found a bare one",
            place=Place(str(folder)),
            fix=f"clone it, `git clone {folder}`, and name the clone",
        )
    files = list(_files(folder))
    with ExitStack() as held:
        yield RepositoryView(
            folder.resolve().name,
            files,
            lambda path: _read(folder / path),
            lambda delivery: _open_iac((folder, iac), delivery, now, reach, held),
        )


def _is_bare(folder: Path) -> bool:
    return GitCommand(folder).run("rev-parse", "--is-bare-repository").text == "true"


def _files(folder: Path) -> Iterator[str]:
    """What git knows or would add; every file outside of a repository."""
    done = GitCommand(folder).run("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if done.code == 0:
        found = done.text.split("\0")
        yield from (path for path in dict.fromkeys(found) if path)
        return
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in (".git", ".venv", "node_modules")]
        yield from ((Path(parent) / name).relative_to(folder).as_posix() for name in names)


def _read(path: Path) -> str | None:
    try:
        if path.is_symlink() or path.stat().st_size > _LARGEST:
            return None
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None


def _open_iac(
    place: tuple[Path, Path | None], delivery: Delivery, now: float, reach: Reach, held: ExitStack
) -> Iac | None:
    """The IaC repository, if it lies on this machine or its server may be asked."""
    folder, clone = place
    address = str(clone.resolve()) if clone else delivery.iac.repository
    variables: Mapping[str, str] | None = os.environ
    if "://" in address or (":" in address.partition("/")[0]):
        variables = reach(address)
    if variables is None:
        return None
    try:
        scene = held.enter_context(open_scene(AuditPlace(folder, address if clone else None), variables))
        branch = scene.branch
        assert isinstance(branch, GitBranch)  # noqa: S101 - `open_scene` opens nothing else
        tip = branch.tip()
        tree = FileTree(list(branch.archive.files()), lambda path: _text(branch, path, tip))
        return _iac(tree, delivery, _pace(scene, list(delivery.environments)[-1], now))
    except PipegraftError:
        return None


def _text(branch: GitBranch, path: str, tip: str) -> str | None:
    try:
        return branch.read(path, tip)
    except PipegraftError:
        return None


def _iac(tree: FileTree, delivery: Delivery, pace: DeliveryPace | None) -> Iac:
    folder = f"{delivery.iac.path.rstrip('/')}/" if delivery.iac.path else ""
    app: App | None = None
    environments: dict[str, AppEnvironment] = {}
    problems: list[str] = []
    path = app_path(delivery.iac.path)
    try:
        file = read_app(tree.read(path) or "", path)
        app = file.app
        for name in delivery.environments:
            where = environment_path(delivery.iac.path, name)
            text = tree.read(where)
            if text is not None:
                environments |= (there := _environment(name, text, where))
                if not there or there[name].release:  # before the first release images are missing
                    problems += _fits(
                        partial(resolve_in, file, text, name, environment_file=where, platform=UNBOUND)
                    )
    except PipegraftError as error:
        problems += [str(error.problems[0])] if tree.read(path) is not None else []
    return Iac(tree, folder, app, environments, tuple(problems), pace)


def _fits(check: Callable[[], object]) -> list[str]:
    try:
        check()
    except PipegraftError as error:
        return [str(error.problems[0])]
    return []


def _environment(name: str, text: str, path: str) -> Mapping[str, AppEnvironment]:
    with suppress(PipegraftError):
        return {name: read_environment(text, path)}
    return {}


def _pace(scene: Scene, environment: str, now: float) -> DeliveryPace | None:
    """What the history of an environment's file says of the last ninety days."""
    book = next(scene.books(environment))
    book.load()
    told = deployments_of(book)
    if not told[0]:
        return None
    since = max(now - _WINDOW, told[0][0].started)
    found = figures_of(environment, told, scene.source.times(one.source for one in told[0]), since, now + 1)
    values = {one.name: one.value for one in found.figures}
    steps = [one.trailers.get("Pipegraft-Step", "") for one in book.versions]
    return DeliveryPace(
        len(found.deployments),
        max(now - since, DAY) / WEEK,
        values["lead time"],
        values["change failure rate"],
        steps.count("rollback"),
        bool(told[0][-1].source),
        sum("weight=" in step for step in steps),
    )


@dataclass(frozen=True, slots=True)
class Mending:
    """What brings a signal about.

    Arguments:
        assessed: the signal, and what was found.
        root: the repository's folder.
        files: path → new text; empty if a command does it or a person must.
        before: the same files as they are, None for one that does not exist.
        command: words after ``pipegraft`` of the command that does it.
    """

    assessed: Assessed
    root: Path
    files: Mapping[str, str]
    before: Mapping[str, str | None]
    command: tuple[str, ...]

    def write(self) -> None:
        """Write every file, or none.

        Raises:
            UsageError: a file cannot be written; all are as they were.
        """
        try:
            write_together({self.root / path: text.encode() for path, text in self.files.items()})
        except OSError as error:
            place = Place(str(error.filename or self.root))
            raise UsageError(
                f"cannot be written: {error.strerror}; every file is as it was", place=place
            ) from None


def next_step(folder: Path, plugins: Plugins, now: float, name: str | None = None) -> Mending | None:
    """The next step that can be made here, the lowest stage first; None if nothing is left that can be.

    Arguments:
        name: the signal that is meant, whatever its stage.

    Raises:
        UsageError: there is no such signal, it is there already, or a person must bring it about.
    """
    signals = plugins.all(MATURITY_SIGNALS)
    with open_repository(folder, now) as repository:
        if name is not None:
            return _named_step(folder, repository, plugins.get(MATURITY_SIGNALS, name))
        for found in sorted(assess(repository, signals.values()).signals, key=_order):
            if found.finding.answer is Answer.NO and (made := _mending(folder, repository, found)):
                return made
    return None


def _named_step(folder: Path, repository: RepositoryView, signal: Signal) -> Mending:
    found = Assessed(signal, signal.look(repository))
    if found.finding.answer is not Answer.NO:
        raise UsageError(f"'{signal.name}' needs no step: {found.finding.answer}: {found.finding.reason}")
    made = _mending(folder, repository, found)
    if made is None:
        raise UsageError(f"'{signal.name}' is for people: {signal.step}")
    return made


def _order(one: Assessed) -> int:
    return one.signal.stage


def _mending(folder: Path, repository: RepositoryView, found: Assessed) -> Mending | None:
    signal: Signal = found.signal
    files = dict(signal.mend(repository)) if signal.mend else {}
    changed = {path: text for path, text in files.items() if repository.read(path) != text}
    if not changed and (not signal.command or repository.ci is None):
        return None
    command: Sequence[str] = [
        str(folder / repository.ci.file) if word == "{ci}" and repository.ci else word
        for word in signal.command
    ]
    before = {path: repository.read(path) for path in changed}
    return Mending(found, folder, changed, before, () if changed else tuple(command))
