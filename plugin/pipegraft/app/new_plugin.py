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
from typing import Any

import jinja2

from pipegraft import __version__
from pipegraft.app.templates import generate
from pipegraft.core.errors import Place, UsageError
from pipegraft.core.hooks import STAGES
from pipegraft.core.plugins import HOOKS_VERSION, PROJECT, Plugins
from pipegraft.core.stage import NAMING, STAGE_NAME

__all__ = ["module_of", "new_plugin", "plugin_package"]


def module_of(name: str) -> str:
    """Name of the module that holds a plugin.

    Arguments:
        name: the stage's, in kebab-case.
    """
    return f"pipegraft_{name.replace('-', '_')}"


def plugin_package(name: str) -> dict[str, str]:
    """A package that works as it is: a stage, its tests, and a pipeline that runs them.

    Arguments:
        name: of the stage, in kebab-case; the package is called ``pipegraft-NAME``.

    Returns:
        Path below the package's folder → text.
    """
    module = module_of(name)
    words = {
        "name": name,
        "package": f"pipegraft-{name}",
        "module": module,
        "pipegraft": __version__,
        "hooks": HOOKS_VERSION,
    }
    templates = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        ".gitignore": "gitignore",
        ".gitlab-ci.yml": "gitlab-ci.yml",
        f"src/{module}/__init__.py": "module.py",
        f"src/{module}/py.typed": "",
        f"tests/test_{name.replace('-', '_')}.py": "test.py",
    }
    environment = _environment()
    return {
        path: environment.get_template(f"plugin/{template}.j2").render(words) if template else ""
        for path, template in templates.items()
    }


def _environment() -> Any:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("pipegraft.app.views"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - these are source files
    )


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
