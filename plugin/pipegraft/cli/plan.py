"""`pipegraft plan` and `pipegraft images`: what a delivery would do, and what it built."""

from __future__ import annotations

from pathlib import Path

import click

from pipegraft.app.plan import gray_notes, plan_project, target_notes
from pipegraft.cli.common import directory_option, json_option, load_plugins, print_json, working_plugins
from pipegraft.core.adapters.files import RECORD, FileReleaseStore, write_atomically
from pipegraft.core.delivery_file import open_project
from pipegraft.core.errors import UsageError
from pipegraft.core.foreign_text import echo
from pipegraft.core.release import release_dotenv

__all__ = ["images_command", "plan_command"]


@click.command("plan")
@directory_option
@click.option("--env", "environment", help="Only this environment.")
@json_option
def plan_command(directory: Path, environment: str | None, as_json: bool) -> None:
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


@click.command("images")
@click.argument("components", nargs=-1, metavar="[COMPONENT]…")
@directory_option
@click.option(
    "--dotenv",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a pointer to the release record, for GitLab's dotenv reports.",
)
@json_option
def images_command(
    *, components: tuple[str, ...], directory: Path, dotenv: Path | None, as_json: bool
) -> None:
    """Show the images of the release."""
    record = open_project(directory, load_plugins()).root / RECORD
    release = FileReleaseStore(record).load()
    images = release.images
    for name in components:
        if name not in images:
            raise UsageError(f"the release has no component '{name}'; it has: {', '.join(images) or 'none'}")
    shown = {name: image for name, image in images.items() if not components or name in components}
    if dotenv is not None:
        write_atomically(dotenv, release_dotenv(release, RECORD, record.read_bytes()).encode())
    if as_json:
        print_json({name: image.model_dump(mode="json") for name, image in shown.items()})
    elif dotenv is None:
        for name, image in shown.items():
            echo(f"{name}  {image.reference}  {'built' if image.built else 'unchanged'}")
