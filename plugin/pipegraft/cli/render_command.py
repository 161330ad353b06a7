"""``pipegraft render``: what an app spec becomes for an engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipegraft.cli.rendering import rendering, target_option

if TYPE_CHECKING:
    from pipegraft.ports.resources import Target


@click.command("render")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.option("--env", "environments", multiple=True, help="Only this environment; repeatable.")
@target_option
@click.option("--revision", help="Commit to name in the output; a digest of the output if absent.")
def command(*, folder: Path, environments: tuple[str, ...], target: Target, revision: str | None) -> None:
    """Show what the app spec in FOLDER becomes for an engine.

    The output is the same, byte for byte, for the same spec.
    """
    from pipegraft.usecases.render import render  # noqa: PLC0415

    click.echo(render(folder, environments, rendering(target, revision)), nl=False)
