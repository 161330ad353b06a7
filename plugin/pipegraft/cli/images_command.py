"""`pipegraft images`: the images of the release."""

from __future__ import annotations

from pathlib import Path

import click

from pipegraft.cli.common import directory_option, json_option, load_plugins, print_json

__all__ = ["command"]


@click.command("images")
@directory_option
@click.option("--snippets", is_flag=True, help="Print the piece of a pod's spec that brings each image in.")
@click.option(
    "--dotenv",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a pointer to the release record, for GitLab's dotenv reports.",
)
@json_option
def command(directory: Path, snippets: bool, dotenv: Path | None, as_json: bool) -> None:
    """Show the images of the release and how each gets into its pod."""
    from pipegraft.usecases.images import read_release, show_snippets, write_dotenv  # noqa: PLC0415
    from pipegraft.usecases.project import open_project  # noqa: PLC0415

    project = open_project(directory, load_plugins())
    release = read_release(project)
    if dotenv is not None:
        write_dotenv(project, release, dotenv)
    if as_json:
        print_json(release.model_dump(mode="json", by_alias=True)["images"])
    elif snippets:
        click.echo(show_snippets(project, release), nl=False)
    elif dotenv is None:
        for name, image in release.images.items():
            click.echo(f"{name}  {image.reference}  {'built' if image.built else 'unchanged'}")
