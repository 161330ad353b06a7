"""Graft delivery onto the pipeline that a repository has, or take it out: read, planned, written at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipegraft import __version__
from pipegraft.ci.hooks import (
    CI_SYSTEMS,
    CiSystem,
    Injection,
    InjectionRequest,
    InjectOptions,
    TemplateSource,
    fixed_folder,
    pattern_of,
)
from pipegraft.core.adapters.files import write_together
from pipegraft.core.adapters.vcs_info import default_branch, ignored_files
from pipegraft.core.delivery import Delivery
from pipegraft.core.delivery_file import DELIVERY_FILE, open_project, read_text
from pipegraft.core.doctor import runner_problems
from pipegraft.core.errors import Place, Problem, UsageError
from pipegraft.core.planning import every_stage, make_plan
from pipegraft.core.plugins import Plugins
from pipegraft.core.reading import load_marked
from pipegraft.core.stage import Requirement

__all__ = [
    "CiFile",
    "Graft",
    "check_packages",
    "choose_source",
    "find_ci_file",
    "plan_ejection",
    "plan_injection",
    "planned",
]


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
        stops: what of ``delivery.yaml`` cannot work on a runner.
    """

    ci: CiFile
    injection: Injection
    before: Mapping[str, str | None]
    requires: tuple[Requirement, ...] = ()
    ignored: tuple[str, ...] = ()
    stops: tuple[Problem, ...] = ()

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


_VERSION = f"v{__version__}"


def choose_source(
    *,
    project: str | None = None,
    url: str | None = None,
    component: str | None = None,
    local: bool = False,
    ref: str | None = None,
) -> TemplateSource | None:
    """Where the templates come from, of what was asked for; None if nothing was.

    Raises:
        UsageError: more than one place was named, or something that is none.
    """
    if sum((project is not None, url is not None, component is not None, local)) > 1:
        raise UsageError(
            "the templates come from one place",
            fix="give one of --from-project, --from-component, --from-url, --local",
        )
    if project is not None and not re.fullmatch(r"[\w./$-]+", project):
        raise UsageError(
            f"expected the path of a project on the same server, found {project!r}",
            fix="write --from-project GROUP/PROJECT",
        )
    if url is not None and not re.fullmatch(r"(https?://|\$)\S+", url):
        raise UsageError(f"expected a URL, found {url!r}", fix="write --from-url https://…")
    if component is not None:
        return _component(component, ref)
    pin = ref or _VERSION
    if project is not None:
        return TemplateSource("project", project.strip("/"), pin)
    if url is not None:
        return TemplateSource("remote", url, pin)
    return TemplateSource("local") if local else None


def _component(written: str, ref: str | None) -> TemplateSource:
    """A project of components; the catalog's versions are semantic versions without a "v"."""
    place, _, version = written.partition("@")
    if not re.fullmatch(r"[\w.$-]+(:\d+)?(/[\w.$-]+)+", place):
        raise UsageError(
            f"expected the address of a project of components, found {written!r}",
            fix="write --from-component gitlab.example.com/GROUP/PROJECT@VERSION",
        )
    return TemplateSource("component", place, ref or version or __version__)


def plan_injection(
    path: Path,
    plugins: Plugins,
    options: InjectOptions = InjectOptions(),  # noqa: B008 - frozen
    *,
    ci_system: str | None = None,
    verify: str | None = None,
) -> Graft:
    """Plan it; nothing is written before `Graft.write`.

    Arguments:
        path: the repository's folder, or its CI configuration.
        plugins: stages and CI systems.
        options: what was asked for.
        ci_system: name of the CI system, if the file's name does not tell.
        verify: URL of the project whose CI server is to be asked.

    Raises:
        UsageError: no configuration, no ``delivery.yaml``, or a graft that cannot be made exactly.
    """
    if options.packages:
        check_packages(options.packages)
    ci = find_ci_file(path, plugins, ci_system)
    project = open_project(ci.root, plugins)
    stages = every_stage(plugins)
    request = InjectionRequest(
        file=ci.name,
        text=ci.text(),
        plan=make_plan(project.delivery, stages),
        options=options,
        version=_VERSION,
        default_branch=default_branch(ci.root),
        templates=ci.system.templates(stages),
        read=ci.read,
        find=ci.find,
    )
    graft = planned(ci, _verified(request, ci.system.inject(request), ci.system, verify))
    names = {one.stage for one in request.plan.stages}
    needs = dict.fromkeys(need for stage in stages if stage.name in names for need in stage.requires)
    requires = tuple(need for need in needs if need.wanted(project.delivery))
    written = [name for name, text in graft.injection.files.items() if text is not None]
    stops = tuple(_stops(ci, project.delivery, request.plan.longest))
    return replace(graft, requires=requires, ignored=ignored_files(ci.root, written), stops=stops)


def _stops(ci: CiFile, delivery: Delivery, longest: float) -> Iterator[Problem]:
    marked = load_marked(ci.read(DELIVERY_FILE) or "", DELIVERY_FILE)
    return runner_problems(
        delivery,
        marked,
        longest,
        lambda one: ci.read(f"{one.build_folder}/{one.dockerfile or 'Dockerfile'}") is not None,
    )


def _verified(
    request: InjectionRequest, injection: Injection, system: CiSystem, project: str | None
) -> Injection:
    if project is None:
        return injection
    if system.verify is None:
        raise UsageError(f"{system.name} has no server to ask", fix="leave out --verify")
    return system.verify(request, injection, project, os.environ)


def plan_ejection(path: Path, plugins: Plugins, ci_system: str | None = None) -> Graft:
    """Plan it; nothing is written before `Graft.write`.

    Arguments:
        path: the repository's folder, or its CI configuration.
        plugins: CI systems.
        ci_system: name of the CI system, if the file's name does not tell.

    Raises:
        UsageError: no configuration, or one that does not parse.
    """
    ci = find_ci_file(path, plugins, ci_system)
    return planned(ci, ci.system.eject(ci.name, ci.text(), ci.read))


_SAID = re.compile(
    r"(^|\s)(--index-url|--extra-index-url|-i|--find-links|-f|--require-hashes|-r|--requirement)\b"
)
_WHEEL = re.compile(r"(^|\s)\S*\.whl(#\S*)?($|\s)")
_HASH = re.compile(r"#sha256=[0-9a-f]{64}\b")


def check_packages(packages: str) -> None:
    """See that packages come from where somebody said, and are what somebody checked.

    Raises:
        UsageError: a name without an index, or a wheel without a hash.
    """
    if not packages:
        return
    if _WHEEL.search(packages):
        if "://" in packages and not _HASH.search(packages):
            raise UsageError(
                f"expected a wheel with its hash, found {packages!r}",
                fix="write --packages 'https://…/pipegraft-….whl#sha256=…'; `make wheel` prints the hash",
            )
    elif not _SAID.search(packages):
        raise UsageError(
            f"expected where {packages!r} comes from, found only a name: on a public index it is anybody's",
            fix="write --packages '--index-url https://… pipegraft==…', a wheel's URL with #sha256=…, "
            "or '--require-hashes -r FILE'",
        )
