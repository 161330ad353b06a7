"""``pipegraft diff``: what a change of the app spec does to what is rendered."""

from __future__ import annotations

from pathlib import Path

import click

from pipegraft.appspec.resource_ports import Target
from pipegraft.appspec.usecases.render import diff
from pipegraft.cli.common import json_option, print_json
from pipegraft.cli.rendering import changes_data, rendering, show_changes, target_option

__all__ = ["command"]


@click.command("diff")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.option("--env", "environments", multiple=True, help="Only this environment; repeatable.")
@click.option("--from", "start", metavar="REV", default="HEAD", show_default=True, help="Commit before.")
@click.option("--to", "end", metavar="REV", help="Commit after; the files as they are now if absent.")
@target_option
@click.option("--exit-code", is_flag=True, help="End with exit code 1 if anything differs.")
@json_option
def command(
    *,
    folder: Path,
    environments: tuple[str, ...],
    start: str,
    end: str | None,
    target: Target,
    exit_code: bool,
    as_json: bool,
) -> int:
    """Show what a change of the app spec in FOLDER does to what is rendered.

    Compares the commit --from with the files in FOLDER, or with the commit --to, object by object and
    field by field; items of lists are found by their names. Exit code 0, or 1 with --exit-code where
    anything differs.
    """
    diffs = diff(folder, environments, start, end, rendering(target))
    if as_json:
        print_json(changes_data(diffs))
    else:
        show_changes(diffs)
    return 1 if exit_code and any(one.changes for one in diffs) else 0
