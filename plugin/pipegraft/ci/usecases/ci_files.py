"""The CI configuration of a repository: found, read with what it includes, and written all at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipegraft.ci.hooks import CI_SYSTEMS, CiSystem
from pipegraft.ci.model import Injection
from pipegraft.ci.patterns import fixed_folder, pattern_of
from pipegraft.core.adapters.files import write_together
from pipegraft.core.delivery_file import DELIVERY_FILE, read_text
from pipegraft.core.errors import Place, UsageError
from pipegraft.core.plugins import Plugins
from pipegraft.core.stage import Requirement

__all__ = ["CiFile", "Graft", "find_ci_file", "planned"]


@dataclass(frozen=True, slots=True)
class CiFile:
    """A CI system's root configuration in a repository.

    Arguments:
        root: the repository's folder.
        name: the configuration's path in it.
        system: the CI system that reads it.
    """

    root: Path
    name: str
    system: CiSystem

    def text(self) -> str:
        """The configuration; see `read_text`."""
        return read_text(self.root / self.name)

    def read(self, name: str) -> str | None:
        """The text of a file of the repository, None if there is none."""
        path = (self.root / name).resolve()
        if not path.is_relative_to(self.root.resolve()) or not path.is_file():
            return None
        return read_text(path)

    def find(self, pattern: str) -> Sequence[str]:
        """The files of the repository that match a pattern with ``*`` and ``**``."""
        if ".." in pattern.split("/"):
            return ()
        wanted, found = pattern_of(pattern), []
        for folder, folders, files in os.walk(self.root / fixed_folder(pattern)):
            folders[:] = [name for name in folders if name != ".git"]
            inside = Path(folder).relative_to(self.root)
            found += [path for name in files if wanted.fullmatch(path := (inside / name).as_posix())]
        return sorted(found)


@dataclass(frozen=True, slots=True)
class Graft:
    """An injection or ejection that was planned for a repository.

    Arguments:
        ci: the configuration.
        injection: what changes, and what is proven not to.
        before: text of the files that change, as they are; None for one that does not exist.
        requires: what the added jobs need of the runner.
        ignored: files to be written that git is told to ignore.
        verified: what the CI server agreed with, one sentence.
    """

    ci: CiFile
    injection: Injection
    before: Mapping[str, str | None]
    requires: tuple[Requirement, ...] = ()
    ignored: tuple[str, ...] = ()
    verified: str = ""

    def write(self) -> None:
        """Write every file, or none.

        Raises:
            UsageError: a file cannot be written; all are as they were.
        """
        contents = {
            self.ci.root / name: None if text is None else text.encode()
            for name, text in self.injection.files.items()
        }
        try:
            write_together(contents)
        except OSError as error:
            raise UsageError(
                f"cannot be written: {error.strerror}; every file is as it was",
                place=Place(str(error.filename or self.ci.root)),
            ) from None


def planned(ci: CiFile, injection: Injection) -> Graft:
    """An injection with the texts it replaces."""
    return Graft(ci, injection, {name: ci.read(name) for name in injection.files})


def find_ci_file(path: Path, plugins: Plugins, name: str | None = None) -> CiFile:
    """The configuration to work on.

    Arguments:
        path: the repository's folder, or the configuration itself.
        plugins: the CI systems there are.
        name: which CI system, if it is not to be told by the file's name.

    Raises:
        UsageError: no configuration, or more than one, is there.
    """
    known = plugins.all(CI_SYSTEMS)
    systems = [plugins.get(CI_SYSTEMS, name)] if name else list(known.values())
    if path.is_file():
        return _given(path, systems)
    found = [
        CiFile(path, file, system) for system in systems for file in system.files if (path / file).is_file()
    ]
    if len(found) == 1:
        return found[0]
    wanted = " or ".join(file for system in systems for file in system.files)
    if not found:
        raise UsageError(
            f"expected {wanted} in {path}, found none", fix="name the repository's folder or the file itself"
        )
    raise UsageError(
        f"{path} has {' and '.join(ci.name for ci in found)}, and delivery belongs onto one of them",
        fix=f"choose: {' or '.join(f'--ci {ci.system.name}' for ci in found)}",
    )


def _given(path: Path, systems: Sequence[CiSystem]) -> CiFile:
    by_name = [system for system in systems if path.name in system.files]
    by_ending = [
        system
        for system in systems
        if any(path.suffix and path.suffix == Path(f).suffix for f in system.files)
    ]
    fitting = by_name or by_ending or systems
    if len(fitting) != 1:
        raise UsageError(
            f"the name '{path.name}' does not tell which CI system reads it",
            fix=f"say it: {' or '.join(f'--ci {system.name}' for system in systems)}",
        )
    folders = path.resolve().parents
    root = next((folder for folder in folders if (folder / DELIVERY_FILE).is_file()), folders[0])
    return CiFile(root, path.resolve().relative_to(root).as_posix(), fitting[0])
