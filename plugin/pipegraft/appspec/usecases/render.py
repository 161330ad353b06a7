"""Shows what an app spec becomes, and what a change of it, or a split of a component, changes there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipegraft.appspec.environment_file import environment_path
from pipegraft.appspec.hooks import TRAFFIC_ROUTERS, load_providers
from pipegraft.appspec.rendering.common import ANNOTATION, Manifest
from pipegraft.appspec.rendering.compose import render_compose
from pipegraft.appspec.rendering.differences import ObjectChange, compare, objects_in
from pipegraft.appspec.rendering.kubernetes import render_kubernetes
from pipegraft.appspec.rendering.oam import PUBLISH_VERSION, render_application
from pipegraft.appspec.rendering.yaml_output import dump_documents, rendered_path, with_own_version
from pipegraft.appspec.resource_binding import Platform
from pipegraft.appspec.resource_ports import ResourceProvider, Target
from pipegraft.appspec.routers import CLUSTER_ROUTERS
from pipegraft.appspec.spec import Resolved, check_app, resolve, resolve_in
from pipegraft.appspec.splitting import Move, callers_of, check_before, move, notes_on
from pipegraft.appspec.traffic_ports import ClusterRouter
from pipegraft.core.adapters.files import write_together
from pipegraft.core.adapters.vcs_info import Revision
from pipegraft.core.errors import ConfigError, Problem, UsageError
from pipegraft.core.plugins import Plugins
from pipegraft.text.yaml import decode

__all__ = [
    "TARGETS",
    "EnvironmentDiff",
    "Manifests",
    "Rendering",
    "Split",
    "compare_texts",
    "diff",
    "environments_of",
    "installed_rendering",
    "plan_split",
    "render",
    "render_files",
    "render_texts",
    "write_split",
]


Manifests = list[dict[str, Any]]

Routers = Mapping[str, ClusterRouter]

TARGETS: Mapping[Target, Callable[[Resolved, str | None, Routers], Manifests]] = {
    "oam": lambda resolved, revision, routers: [render_application(resolved, revision, routers)],
    "kubernetes": render_kubernetes,
    "compose": lambda resolved, revision, _routers: [render_compose(resolved, revision)],
}
"""Target → what it makes of one environment."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """What to render to, and with what.

    Arguments:
        target: one of `TARGETS`.
        revision: commit to put into the output; a digest of it if None.
        routers: name → what splits requests in a cluster.
        load_providers: answers the resource providers; called only for a spec with resources.
        label: stands before the names of files in messages, as ``4be1:``.
    """

    target: Target
    revision: str | None = None
    routers: Routers = field(default_factory=lambda: CLUSTER_ROUTERS)
    load_providers: Callable[[], Mapping[str, ResourceProvider]] = dict
    label: str = ""


def installed_rendering(
    plugins: Plugins, target: Target, revision: str | None = None, label: str = ""
) -> Rendering:
    """How to render with everything that is installed; arguments as of `Rendering`."""
    routers = {name: one.cluster for name, one in plugins.all(TRAFFIC_ROUTERS).items() if one.cluster}
    return Rendering(target, revision, routers, lambda: load_providers(plugins), label)


def render(folder: Path, environments: Sequence[str], how: Rendering) -> str:
    """Render environments.

    Arguments:
        folder: holds ``app.yaml`` and ``environments/``.
        environments: names; all there are if empty.

    Returns:
        YAML documents, the same bytes for the same spec.

    Raises:
        ConfigError: everything wrong with the files, of all environments.
        UsageError: there is no such environment.
    """
    chosen = environments or environments_of(folder)
    if how.target == "compose" and len(chosen) > 1:
        raise UsageError(
            f"a Compose file is of one environment; there are: {', '.join(chosen)}",
            fix="choose one with --env",
        )
    texts = {name: _read(folder / environment_path(None, name)) for name in chosen}
    rendered = render_texts(_read(folder / "app.yaml"), texts, how)
    return dump_documents(item for name in chosen for item in rendered[name])


def render_texts(app: str, environments: Mapping[str, str], how: Rendering) -> dict[str, Manifests]:
    """Render environments from the texts of their files.

    Arguments:
        app: text of ``app.yaml``.
        environments: name → text of its file.

    Returns:
        Environment → what it becomes.

    Raises:
        ConfigError: everything wrong with the files, of all environments; `how.label` stands before each.
    """
    app_file = check_app(app, f"{how.label}app.yaml")
    platform = Platform(how.load_providers, how.target)
    rendered: dict[str, Manifests] = {}
    problems: dict[Problem, None] = {}
    for name, text in environments.items():
        file = f"{how.label}{environment_path(None, name)}"
        try:
            resolved = resolve_in(app_file, text, name, environment_file=file, platform=platform)
        except ConfigError as error:
            problems |= dict.fromkeys(error.problems)
        else:
            rendered[name] = TARGETS[how.target](resolved, how.revision, how.routers)
    if problems:
        raise ConfigError(problems)
    return rendered


def render_files(
    folder: Path, environments: Sequence[str], how: Rendering, *, write: bool = True
) -> list[Path]:
    """Render into ``rendered/NAME/manifests.yaml``, as every commit does with `iac.rendered`.

    Arguments:
        folder, environments, how: as for `render`.
        write: whether to write; otherwise only to compare.

    Returns:
        The files that were different.
    """
    wanted: dict[Path, bytes] = {}
    differing: list[Path] = []
    for name in environments or environments_of(folder):
        path = folder / rendered_path("", name)
        held = path.read_bytes() if path.exists() else None
        standing = None if held is None else held.decode("utf-8", "replace")
        wanted[path] = with_own_version(render(folder, [name], how), standing).encode()
        differing += [path] if held != wanted[path] else []
    if write:
        write_together({path: wanted[path] for path in differing})
    return differing


def environments_of(folder: Path) -> list[str]:
    """Names of the environments a folder declares.

    Raises:
        UsageError: there is none.
    """
    found = sorted(path.stem for path in (folder / "environments").glob("*.yaml"))
    if not found:
        raise UsageError(
            f"expected {folder}/environments/NAME.yaml, found none", fix="add one, or name the folder"
        )
    return found


@dataclass(frozen=True, slots=True)
class EnvironmentDiff:
    """One environment.

    Arguments:
        changes: in the order of the new rendering; none if it is the same.
    """

    environment: str
    changes: tuple[ObjectChange, ...]


@dataclass(frozen=True, slots=True)
class _Spec:
    """The files of an app spec at one time.

    Arguments:
        app: text of ``app.yaml``, None before there was one.
        environments: name → text.
        label: stands before the names of its files in messages.
    """

    app: str | None
    environments: dict[str, str]
    label: str


def diff(
    folder: Path, environments: Sequence[str], start: str, end: str | None, how: Rendering
) -> list[EnvironmentDiff]:
    """Compare what two states of a folder render to.

    Arguments:
        folder: holds ``app.yaml`` and ``environments/``, in the work tree of a git repository.
        environments: names; all that either state has if empty.
        start: commit before the change.
        end: commit after it; the work tree if None.

    Raises:
        UsageError: no such commit or environment.
        ConfigError: one of the states is not a valid app spec; its commit stands before the file.
    """
    before = _at(folder, start)
    after = _at(folder, end) if end else _work_tree(folder)
    known = sorted(before.environments.keys() | after.environments.keys())
    for name in environments:
        if name not in known:
            raise UsageError(
                f"there is no environment '{name}' before or after; there are: {', '.join(known) or 'none'}"
            )
    chosen = list(environments) or known
    if not chosen:
        raise UsageError(
            f"expected {folder}/environments/NAME.yaml, found none", fix="add one, or name the folder"
        )
    return _compare(before, after, chosen, how)


def compare_texts(
    app: tuple[str, str], environments: dict[str, tuple[str, str]], how: Rendering
) -> list[EnvironmentDiff]:
    """Compare an edit that is not written yet.

    Arguments:
        app: text of ``app.yaml`` before and after.
        environments: name → text of its file before and after.

    Raises:
        ConfigError: one of them is no valid app spec.
    """
    states = [
        _Spec(app[index], {name: both[index] for name, both in environments.items()}, "")
        for index in range(2)
    ]
    return _compare(states[0], states[1], list(environments), how)


def _compare(before: _Spec, after: _Spec, chosen: Sequence[str], how: Rendering) -> list[EnvironmentDiff]:
    # One name for both, so that the revision itself is no difference.
    how = replace(how, revision="-")
    found = []
    for name in chosen:
        old, new = (_objects(spec, name, how) for spec in (before, after))
        found.append(EnvironmentDiff(name, tuple(compare(old, new))))
    return found


def _objects(spec: _Spec, environment: str, how: Rendering) -> dict[str, Manifest]:
    if spec.app is None or environment not in spec.environments:
        return {}
    text = spec.environments[environment]
    rendered = render_texts(spec.app, {environment: text}, replace(how, label=spec.label))
    found = objects_in(rendered[environment])
    for item in found.values():
        for key in (f"{ANNOTATION}revision", PUBLISH_VERSION):
            item.get("metadata", {}).get("annotations", {}).pop(key, None)
    return found


def _at(folder: Path, name: str) -> _Spec:
    revision = Revision(folder, name)
    names = [one.removesuffix(".yaml") for one in revision.names("environments") if one.endswith(".yaml")]
    texts = {one: revision.read(environment_path(None, one)) or "" for one in names}
    return _Spec(revision.read("app.yaml"), texts, f"{name}:")


def _work_tree(folder: Path) -> _Spec:
    app = folder / "app.yaml"
    files = sorted((folder / "environments").glob("*.yaml"))
    return _Spec(_read(app) if app.exists() else None, {path.stem: _read(path) for path in files}, "")


@dataclass(frozen=True, slots=True)
class Split:
    """A step that is not made yet.

    Arguments:
        files: file → text before and after, for those that change.
        removed: ``FILE: key`` of each key that is taken out.
        notes: what it means beyond what is rendered.
        diffs: what it changes in each environment.
    """

    folder: Path
    files: Mapping[str, tuple[str, str]]
    removed: tuple[str, ...]
    notes: tuple[str, ...]
    diffs: tuple[EnvironmentDiff, ...]


def plan_split(folder: Path, asked: Move, how: Rendering) -> Split:
    """Work out a step, and prove that every environment can be rendered after it.

    Arguments:
        folder: holds ``app.yaml`` and ``environments/``.

    Raises:
        UsageError: it cannot be made; says what to add.
        ConfigError: the spec is wrong before the step, or would be after it.
    """
    app = _read(folder / "app.yaml")
    environments = {name: _read(folder / environment_path(None, name)) for name in environments_of(folder)}
    before = {name: _resolved(app, text, name, how) for name, text in environments.items()}
    members = [check_before(resolved, asked) for resolved in before.values()]
    callers = dict.fromkeys(name for resolved in before.values() for name in callers_of(resolved, asked))
    moved = move(app, environments, members[0], tuple(callers), asked)
    new_app = moved.texts.get("app.yaml", app)
    texts = {
        name: (text, moved.texts.get(environment_path(None, name), text))
        for name, text in environments.items()
    }
    after = {name: _resolved(new_app, both[1], name, how) for name, both in texts.items()}
    notes = dict.fromkeys(
        note for name in environments for note in notes_on(before[name], after[name], asked.component)
    )
    old = {"app.yaml": app, **{environment_path(None, name): text for name, text in environments.items()}}
    return Split(
        folder,
        {file: (old[file], text) for file, text in moved.texts.items()},
        moved.removed,
        tuple(notes) if moved.texts else (),
        tuple(compare_texts((app, new_app), texts, how)),
    )


def write_split(split: Split) -> None:
    """Write the files, all or none.

    Raises:
        UsageError: a file cannot be written.
    """
    try:
        write_together({split.folder / file: after.encode() for file, (_, after) in split.files.items()})
    except OSError as error:
        raise UsageError(f"{error.filename or split.folder} cannot be written: {error.strerror}") from None


def _resolved(app: str, environment: str, name: str, how: Rendering) -> Resolved:
    return resolve(app, environment, name, platform=Platform(how.load_providers, how.target))


def _read(path: Path) -> str:
    try:
        return decode(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise UsageError(
            f"expected {path}, found no such file", fix="name the folder that holds the app spec"
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
