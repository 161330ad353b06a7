"""``pipegraft render``: what an app spec becomes for an engine."""

from __future__ import annotations

from pathlib import Path

import click

from pipegraft.appspec.resource_ports import Target
from pipegraft.appspec.usecases.render import render, render_files
from pipegraft.cli.rendering import rendering, target_option
from pipegraft.core.foreign_text import echo, write_data


@click.command("render")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.option("--env", "environments", multiple=True, help="Only this environment; repeatable.")
@target_option
@click.option("--revision", help="Commit to name in the output; a digest of the output if absent.")
@click.option("--write", is_flag=True, help="Write rendered/NAME/manifests.yaml instead.")
@click.option("--check", is_flag=True, help="Exit code 1 unless those files are as --write would leave them.")
def command(
    *,
    folder: Path,
    environments: tuple[str, ...],
    target: Target,
    revision: str | None,
    write: bool,
    check: bool,
) -> int:
    """Show what the app spec in FOLDER becomes for an engine.

    The output is the same, byte for byte, for the same spec.
    """
    if not (write or check):
        write_data(render(folder, environments, rendering(target, revision)))
        return 0
    if revision or target == "compose":
        raise click.UsageError("--write and --check take no --revision, and no Compose file")
    differing = render_files(folder, environments, rendering(target), write=write)
    for path in differing:
        echo(f"{'wrote' if write else 'differs:'} {path}")
    return 1 if differing and not write else 0
