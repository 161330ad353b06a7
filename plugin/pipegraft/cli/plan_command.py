"""`pipegraft plan`: which stages would run, in which order."""

from __future__ import annotations

from pathlib import Path

import click

from pipegraft.app.plan import gray_notes, plan_project, target_notes
from pipegraft.cli.common import directory_option, json_option, print_json, working_plugins
from pipegraft.core.delivery_file import open_project
from pipegraft.core.foreign_text import echo

__all__ = ["command"]


@click.command("plan")
@directory_option
@click.option("--env", "environment", help="Only this environment.")
@json_option
def command(directory: Path, environment: str | None, as_json: bool) -> None:
    """Show the stages that would run, in order, and what each waits for.

    Of a bump into 'targets' also whether it would be refused, and what is known of its effect. Of a gray
    release what its traffic can show, where the metrics can be asked about stable's last hours, and how long
    it may take by its own limits.
    """
    with working_plugins() as plugins:
        project = open_project(directory, plugins)
        chosen = plan_project(project, environment=environment)
        ask = {"iac-bump": target_notes, "gray-release": gray_notes}
        notes = {
            one.id: ask[one.stage](project, one.environment)
            for one in chosen
            if one.environment and one.stage in ask
        }
    if as_json:
        print_json(
            [
                {
                    "id": one.id,
                    "stage": one.stage,
                    "environment": one.environment,
                    "needs": list(one.needs),
                    "notes": list(notes.get(one.id, ())),
                }
                for one in chosen
            ]
        )
        return
    width = max((len(one.id) for one in chosen), default=0)
    for one in chosen:
        echo(f"{one.id:<{width}}  after {', '.join(one.needs)}" if one.needs else one.id)
        for note in notes.get(one.id, ()):
            echo(f"    {note}")
