"""Moves a component between `in-process`, `ipc` and `rpc`, and shows what that changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipegraft.appspec.environment_file import environment_path
from pipegraft.appspec.resources.binding import Platform
from pipegraft.appspec.spec import Resolved, resolve
from pipegraft.appspec.splitting import Move, callers_of, check_before, move, notes_on
from pipegraft.appspec.usecases.render import EnvironmentDiff, Rendering, compare_texts, environments_of
from pipegraft.core.adapters.files import write_together
from pipegraft.core.errors import UsageError
from pipegraft.text.yaml import decode

__all__ = ["Split", "plan_split", "write_split"]


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
