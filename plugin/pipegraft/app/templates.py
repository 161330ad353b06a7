"""Everything that is generated from stage definitions: CI templates and the stages' pages."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from pipegraft.ci.hooks import CI_SYSTEMS, UsageExample
from pipegraft.core.adapters.files import write_together
from pipegraft.core.errors import Place, UsageError
from pipegraft.core.model import keys_of
from pipegraft.core.planning import every_stage
from pipegraft.core.plugins import Plugins
from pipegraft.core.stage import Stage

__all__ = ["Generated", "components", "generate", "index_page", "stage_page"]


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
        loader=jinja2.PackageLoader("pipegraft.app.views"),
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
