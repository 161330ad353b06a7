"""`pipegraft plugin new`: start a package that adds a stage."""

from __future__ import annotations

from pathlib import Path

import click

from pipegraft.app.new_plugin import new_plugin
from pipegraft.app.plugins import shipped_plugins
from pipegraft.cli.common import json_option, load_plugins, print_json
from pipegraft.core.foreign_text import echo

__all__ = ["command"]

_GENERATED = ("ci_templates/", "docs/stages/")


@click.group("plugin")
def command() -> None:
    """Start a package that adds a stage of your own."""


@command.command("new")
@click.argument("name")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    help="The package's folder; pipegraft-NAME below this one if absent.",
)
@json_option
def new(*, name: str, folder: Path | None, as_json: bool) -> None:
    """Write a package with the stage NAME that works as it is.

    It holds the stage, its tests with the conformance suite, CI templates, the stage's page and a
    pipeline for itself. NAME is in kebab-case, as smoke-test.
    """
    target = folder or Path(f"pipegraft-{name}")
    files = new_plugin(name, target, load_plugins(), shipped_plugins)
    if as_json:
        print_json({"folder": str(target), "files": files})
        return
    written = [file for file in files if not file.startswith(_GENERATED)]
    for file in written:
        echo(f"written: {target / file}")
    echo(f"generated: {len(files) - len(written)} files in {' and '.join(_GENERATED)}")
    echo(
        f"\nNext, in {target}: `pip install -e . pytest`, `pytest`, `pipegraft plugins`;\n"
        "then change the stage in src/ and run `pipegraft templates`."
    )
