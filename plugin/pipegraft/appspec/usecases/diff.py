"""What a change of the app spec does to what is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipegraft.appspec.environment_file import environment_path
from pipegraft.appspec.rendering.common import ANNOTATION, Manifest
from pipegraft.appspec.rendering.differences import ObjectChange, compare, objects_in
from pipegraft.appspec.rendering.oam import PUBLISH_VERSION
from pipegraft.appspec.usecases.render import Rendering, render_texts
from pipegraft.core.adapters.revisions import Revision
from pipegraft.core.errors import UsageError

__all__ = ["EnvironmentDiff", "compare_texts", "diff"]


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


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"expected {path} to be text in UTF-8: {error}") from None
