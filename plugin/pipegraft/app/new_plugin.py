"""A new plugin: a package that works before a line of it was changed."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path

from pipegraft.app.templates import generate
from pipegraft.app.views.plugin_package import module_of, plugin_package
from pipegraft.core.errors import Place, UsageError
from pipegraft.core.hooks import STAGES
from pipegraft.core.plugins import PROJECT, Plugins
from pipegraft.core.stage import NAMING, STAGE_NAME

__all__ = ["new_plugin"]


def new_plugin(
    name: str, folder: Path, installed: Plugins, with_plugin: Callable[[EntryPoint], Plugins]
) -> tuple[str, ...]:
    """Write a plugin's package, with the templates and pages that follow from its stage.

    Arguments:
        name: of the stage, in kebab-case.
        folder: where to; it must not exist, or be empty. It appears whole or not at all.
        installed: the plugins there are, whose names are taken.
        with_plugin: what ships with the package, and one more plugin.

    Returns:
        Paths of the files, below the folder.

    Raises:
        UsageError: the name cannot be a stage's or is taken, or the folder holds something.
    """
    if not STAGE_NAME.fullmatch(name):
        raise UsageError(
            f"expected a name in kebab-case, as `smoke-test`, found {name!r}",
            fix=NAMING,
        )
    if name in installed.all(STAGES):
        raise UsageError(f"there is a stage called '{name}' already", fix="choose another name")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("expected a new or an empty folder", place=Place(str(folder)))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as made:
            draft = Path(made) / "package"
            _write(draft, name, with_plugin)
            files = tuple(sorted(path.relative_to(draft).as_posix() for path in _files(draft)))
            draft.replace(folder)
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", place=Place(str(folder))) from None
    return files


def _write(draft: Path, name: str, with_plugin: Callable[[EntryPoint], Plugins]) -> None:
    for path, text in plugin_package(name).items():
        (draft / path).parent.mkdir(parents=True, exist_ok=True)
        (draft / path).write_text(text)
    module = module_of(name)
    with _importable(draft / "src", module):
        generate(draft, with_plugin(EntryPoint(name, module, PROJECT))).write()
    for cache in draft.rglob("__pycache__"):
        shutil.rmtree(cache)


def _files(folder: Path) -> Iterator[Path]:
    return (Path(base) / name for base, _, names in os.walk(folder) for name in names)


@contextmanager
def _importable(source: Path, module: str) -> Iterator[None]:
    sys.path.insert(0, str(source))
    try:
        yield
    finally:
        sys.path.remove(str(source))
        sys.modules.pop(module, None)
