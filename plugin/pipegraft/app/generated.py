"""Everything that is generated: CI templates and pages from the definitions of stages, and new plugins.

A new plugin is a package that works before a line of it was changed.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import jinja2

from pipegraft import __version__
from pipegraft.ci.hooks import CI_SYSTEMS, UsageExample
from pipegraft.core.adapters.files import write_together
from pipegraft.core.errors import Place, UsageError
from pipegraft.core.hooks import STAGES
from pipegraft.core.model import keys_of
from pipegraft.core.planning import every_stage
from pipegraft.core.plugins import HOOKS_VERSION, PROJECT, Plugins
from pipegraft.core.stage import NAMING, STAGE_NAME, Stage

__all__ = [
    "Generated",
    "components",
    "generate",
    "index_page",
    "module_of",
    "new_plugin",
    "plugin_package",
    "stage_page",
]


def stage_page(stage: Stage, examples: Sequence[UsageExample] = ()) -> str:
    """Markdown: what it does, its inputs, what it needs, and how to use it.

    Arguments:
        stage: the definition.
        examples: how each CI system uses it.
    """
    defaults = stage.inputs().model_dump(mode="json")
    inputs = [
        {
            "name": key,
            "default": _written(defaults[key]),
            "description": " ".join((stage.inputs.model_fields[name].description or "").split()),
            "variable": f"PIPEGRAFT_INPUT_{stage.name}_{key}".replace("-", "_").upper(),
        }
        for name, key in keys_of(stage.inputs).items()
    ]
    rendered: str = _template().render(stage=stage, inputs=inputs, examples=examples)
    return rendered.strip() + "\n"


def index_page(stages: Sequence[Stage]) -> str:
    """Markdown: a list of the pages."""
    lines = [f"- [{stage.name}]({stage.name}.md): {stage.summary}" for stage in stages]
    return "\n".join(
        ["# Stages", "", "Generated from their definitions by `pipegraft templates`.", "", *lines, ""]
    )


def _written(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_written, value))
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


@functools.cache
def _template() -> Any:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipegraft.app"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown
    )
    return environment.get_template("stage.md.j2")


_TEMPLATES = "ci_templates"
_PAGES = "docs/stages"


@dataclass(frozen=True, slots=True)
class Generated:
    """What a folder must hold, and how it differs.

    Arguments:
        root: the folder.
        changes: path → text to write, None for a file that no definition makes any more.
        current: how many files are as they must be.
    """

    root: Path
    changes: Mapping[str, str | None]
    current: int

    def write(self) -> None:
        """Bring the folder to it.

        Raises:
            UsageError: a file cannot be written; all are as they were.
        """
        contents = {
            self.root / name: None if text is None else text.encode() for name, text in self.changes.items()
        }
        try:
            write_together(contents)
        except OSError as error:
            raise UsageError(
                f"cannot be written: {error.strerror}; every file is as it was",
                place=Place(str(error.filename or self.root)),
            ) from None


def generate(root: Path, plugins: Plugins) -> Generated:
    """Compare a folder with what the stage definitions make, third-party stages included.

    Arguments:
        root: folder of ``ci_templates/`` and ``docs/stages/``.
        plugins: stages and CI systems.

    Raises:
        PluginError: a stage cannot be made a template.
    """
    wanted = _wanted(plugins)
    folders = {name.rsplit("/", 1)[0] for name in wanted}
    there = {
        path.relative_to(root).as_posix()
        for folder in folders
        for path in (root / folder).glob("*")
        if path.is_file()
    }
    changes: dict[str, str | None] = {
        name: text for name, text in wanted.items() if _read(root / name) != text.encode()
    }
    return Generated(
        root, {**changes, **dict.fromkeys(sorted(there - wanted.keys()))}, len(wanted) - len(changes)
    )


def components(root: Path, plugins: Plugins) -> Generated:
    """Compare a folder with the project of components that the stage definitions make.

    Arguments:
        root: the project's folder; files of other names in it are left alone.
        plugins: stages and CI systems.
    """
    stages = every_stage(plugins)
    wanted = {
        name: text
        for system in plugins.all(CI_SYSTEMS).values()
        if system.components
        for name, text in system.components(stages).items()
    }
    there = {path.relative_to(root).as_posix() for path in root.glob("templates/*/template.yml")}
    changes: dict[str, str | None] = {
        name: text for name, text in wanted.items() if _read(root / name) != text.encode()
    }
    return Generated(
        root, {**changes, **dict.fromkeys(sorted(there - wanted.keys()))}, len(wanted) - len(changes)
    )


def _wanted(plugins: Plugins) -> dict[str, str]:
    stages = every_stage(plugins)
    systems = plugins.all(CI_SYSTEMS).values()
    wanted = {
        f"{_TEMPLATES}/{system.name}/{name}": text
        for system in systems
        for name, text in system.templates(stages).items()
    }
    for stage in stages:
        examples = [system.example(stage) for system in systems if system.example]
        wanted[f"{_PAGES}/{stage.name}.md"] = stage_page(stage, examples)
    return {**wanted, f"{_PAGES}/README.md": index_page(stages)}


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


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
        loader=jinja2.PackageLoader("pipegraft.app"),
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
        raise UsageError(f"expected a name in kebab-case, as `smoke-test`, found {name!r}", fix=NAMING)
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
