"""`pipegraft bump`: many applications and environments, one push for each IaC repository."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pipegraft.app.bump import BumpOrder, bump_all, worst
from pipegraft.cli.common import json_option, load_plugins, print_json
from pipegraft.core.console import open_progress
from pipegraft.core.delivery_file import open_project
from pipegraft.core.foreign_text import echo

__all__ = ["command"]


@click.command("bump")
@click.argument("folders", nargs=-1, metavar="[FOLDER]…", type=click.Path(file_okay=False, path_type=Path))
@click.option("--env", "environments", multiple=True, required=True, help="Where to release. Repeatable.")
@click.option(
    "--from", "origin", metavar="ENV", help="Carry exactly what this environment runs, instead of new images."
)
@click.option("--dry-run", is_flag=True, help="Show the differences and write nothing.")
@json_option
def command(
    folders: tuple[Path, ...],
    environments: tuple[str, ...],
    origin: str | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Release the applications in FOLDERs, with one push for each IaC repository.

    Each FOLDER (this one if none is named) holds a delivery.yaml and the release record that image-build
    left. Each application and environment is a commit of its own; one that is refused does not stop the
    others. The exit code is that of the worst.
    """
    projects = [open_project(folder, load_plugins()) for folder in folders or (Path(),)]
    order = BumpOrder(projects, environments, origin, dry_run, variables=os.environ)
    with open_progress() as progress:
        results = bump_all(order, progress)
    if as_json:
        print_json(
            [
                {
                    "app": one.app,
                    "environment": one.environment,
                    "outcome": one.commit.outcome if one.commit else "refused" if one.error else "planned",
                    "commit": one.commit.commit if one.commit else None,
                    "error": one.error.problem.message if one.error else None,
                }
                for one in results
            ]
        )
    for one in results:
        for problem in one.error.problems if one.error else ():
            echo(f"error: {one.app} in {one.environment}: {problem}", err=True)
    return worst(results)
