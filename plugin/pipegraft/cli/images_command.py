"""`pipegraft images`: the images of the release."""

from __future__ import annotations

from pathlib import Path

import click

from pipegraft.cli.common import directory_option, json_option, load_plugins, print_json
from pipegraft.core.adapters.files import RECORD, FileReleaseStore, write_atomically
from pipegraft.core.delivery_file import open_project
from pipegraft.core.errors import UsageError
from pipegraft.core.foreign_text import echo
from pipegraft.core.release import release_dotenv

__all__ = ["command"]


@click.command("images")
@click.argument("components", nargs=-1, metavar="[COMPONENT]…")
@directory_option
@click.option(
    "--dotenv",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a pointer to the release record, for GitLab's dotenv reports.",
)
@json_option
def command(*, components: tuple[str, ...], directory: Path, dotenv: Path | None, as_json: bool) -> None:
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
