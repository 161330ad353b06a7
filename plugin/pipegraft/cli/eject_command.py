"""`pipegraft eject`: take delivery out of a pipeline again."""

from __future__ import annotations

from pathlib import Path

import click

from pipegraft.ci.usecases import plan_ejection
from pipegraft.cli.common import json_option, load_plugins, print_json
from pipegraft.cli.graft import graft_data, show_graft

__all__ = ["command"]


@click.command("eject")
@click.argument("path", type=click.Path(exists=True, path_type=Path), default=Path())
@click.option("--dry-run", is_flag=True, help="Show what would change and write nothing.")
@click.option("--ci", metavar="SYSTEM", help="gitlab or jenkins, where the file does not tell.")
@json_option
def command(path: Path, dry_run: bool, ci: str | None, as_json: bool) -> None:
    """Take delivery out of the pipeline in PATH.

    Your files become again, byte for byte, what they would be had delivery never been grafted onto them;
    what you changed since then stays. Nothing but the files themselves is needed for it.
    """
    graft = plan_ejection(path, load_plugins(), ci)
    if not dry_run:
        graft.write()
    if as_json:
        print_json(graft_data(graft, written=not dry_run))
    else:
        show_graft(graft, written=not dry_run, ejected=True)
