"""What an audit reads: the IaC branch, its environments' files, the source repository and the registries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from pipegraft.appspec.environment_file import environment_path
from pipegraft.audit.release_commits import Book
from pipegraft.core.adapters.vcs_info import SourceLog
from pipegraft.core.delivery import Delivery, Iac
from pipegraft.core.delivery_file import DELIVERY_FILE, parse_document, read_text
from pipegraft.core.errors import UsageError
from pipegraft.core.signing import Signer
from pipegraft.iac.adapters.git import open_branch
from pipegraft.iac.adapters.git.access import trusting
from pipegraft.iac.bump.state import state_path
from pipegraft.iac.ports.archive import IacArchive

__all__ = ["Place", "Scene", "open_scene"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look; what is absent is taken from ``delivery.yaml``.

    Arguments:
        root: the source repository's folder.
        repository: the IaC repository, URL or path; the delivery's if None.
        branch: of the IaC repository; the delivery's, else ``main``.
        folder: the app's folder in a repository of several.
        source: folder of the source repository's clone; `root` if None.
        allowed_signers: file of SSH keys that may sign (ssh-keygen(1)); git's own setting if None.
    """

    root: Path = Path()
    repository: str | None = None
    branch: str | None = None
    folder: str | None = None
    source: Path | None = None
    allowed_signers: Path | None = None


class _Branch(Protocol):
    """What reads an archive and single files until it is closed."""

    @property
    def archive(self) -> IacArchive: ...

    def tip(self) -> str: ...

    def read(self, path: str, at: str) -> str | None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Scene:
    """Everything an audit reads.

    Arguments:
        app: name of the application, empty if nobody says.
        folder: the app's folder in the IaC repository, None for the root.
        branch: the IaC branch.
        source: the source repository.
        root: folder that relative registry folders count from.
        targets: environments whose release is remembered beside targets; None if only the files tell.
        order: environments in the order they are delivered to; empty if only the files tell.
        signers: environment → whose signatures of images it asks for.
    """

    app: str
    folder: str | None
    branch: _Branch
    source: SourceLog
    root: Path
    targets: frozenset[str] | None
    order: tuple[str, ...]
    signers: Mapping[str, tuple[Signer, ...]] = field(default_factory=dict)

    @cached_property
    def environments(self) -> Mapping[str, str]:
        """Environment → the file that tells of its releases."""
        files, states = (self._names(path) for path in ("environments", ".pipegraft"))
        names = self.order or tuple(dict.fromkeys([*files, *states]))
        found: dict[str, str] = {}
        for name in names:
            by_state = name in self.targets if self.targets is not None else name not in files
            path = state_path if by_state else environment_path
            found[name] = path(self.folder, name)
        return found

    def books(self, environment: str | None) -> Iterator[Book]:
        """The history of one environment's file, or of each.

        Raises:
            UsageError: there is no such environment.
        """
        known = self.environments
        if environment is not None and environment not in known:
            raise UsageError(
                f"there is no environment '{environment}' in the IaC repository",
                fix=f"use one of: {', '.join(known)}" if known else "check --folder and --branch",
            )
        if not known:
            raise UsageError(
                "expected environments/NAME.yaml in the IaC repository, there is none",
                fix="name the app's folder with --folder",
            )
        wanted = {name: path for name, path in known.items() if environment in (None, name)}
        archive = self.branch.archive
        versions = archive.versions(list(wanted.values()))
        for name, path in wanted.items():
            yield Book(name, path, versions, archive.contents)

    def _names(self, path: str) -> list[str]:
        whole = f"{self.folder.rstrip('/')}/{path}" if self.folder else path
        names = self.branch.archive.folder(whole)
        return [name.removesuffix(".yaml") for name in names if name.endswith(".yaml")]


@contextmanager
def open_scene(place: Place, environment: Mapping[str, str]) -> Iterator[Scene]:
    """What an audit reads, open for as long as the context is.

    Arguments:
        environment: the process's variables, for credentials.

    Raises:
        UsageError: no repository is named and there is no ``delivery.yaml``, or there is none at its path.
        ConfigError: ``delivery.yaml`` is wrong.
    """
    delivery = _delivery(place)
    if delivery is None and place.repository is None:
        raise UsageError(
            f"expected {DELIVERY_FILE} or an IaC repository, found neither",
            fix="run in the source repository, or name the IaC repository: pipegraft audit REPOSITORY",
        )
    iac = delivery.iac if delivery else Iac(repository=place.repository or "")
    base = place.root
    if place.repository is not None:
        iac, base = iac.model_copy(update={"repository": place.repository}), Path()
    folder = place.folder or iac.path
    branch = open_branch(
        iac.repository,
        place.branch or iac.branch,
        base,
        folder=folder,
        environment=trusting(place.allowed_signers, environment),
    )
    with closing(branch):
        environments = delivery.environments if delivery else {}
        yield Scene(
            delivery.app if delivery else _app(branch, folder),
            folder,
            branch,
            SourceLog(place.source or place.root, trusting(place.allowed_signers, environment)),
            place.root,
            frozenset(name for name, one in environments.items() if one.targets) if delivery else None,
            tuple(environments),
            {name: one.require.signed_by for name, one in environments.items()},
        )


def _delivery(place: Place) -> Delivery | None:
    """The delivery, without its plugins' own keys: an audit needs none of them."""
    path = place.root / DELIVERY_FILE
    if not path.exists() and place.repository is not None:
        return None
    return parse_document(read_text(path), str(path), Delivery) if path.exists() else None


def _app(branch: _Branch, folder: str | None) -> str:
    text = branch.read(f"{folder.rstrip('/')}/app.yaml" if folder else "app.yaml", branch.tip()) or ""
    found = next((line for line in text.splitlines() if line.startswith("app:")), "")
    return found.removeprefix("app:").split("#")[0].strip().strip("'\"")
