"""`pipegraft images`: the images of the release."""

from __future__ import annotations

from pathlib import Path

import click

from pipegraft.cli.common import directory_option, json_option, load_plugins, print_json
from pipegraft.core.delivery_file import open_project
from pipegraft.core.foreign_text import echo, write_data
from pipegraft.images.usecases.images import WAYS, read_release, show_snippets, write_dotenv

__all__ = ["command"]


@click.command("images")
@click.argument("components", nargs=-1, metavar="[COMPONENT]…")
@directory_option
@click.option("--snippets", is_flag=True, help="Print the piece of a manifest that brings each image in.")
@click.option(
    "--as",
    "way",
    type=click.Choice(WAYS),
    help="With --snippets: how it gets in; by what delivery.yaml declares if absent.",
)
@click.option(
    "--dotenv",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a pointer to the release record, for GitLab's dotenv reports.",
)
@json_option
def command(
    *,
    components: tuple[str, ...],
    directory: Path,
    snippets: bool,
    way: str | None,
    dotenv: Path | None,
    as_json: bool,
) -> None:
    """Show the images of the release and how each gets into its pod.

    A piece is what to merge into a pod's spec; of a hot upgrade it is an OpenKruise SidecarSet with both
    images.
    """
    if way and not snippets:
        raise click.UsageError("expected --snippets with --as")
    project = open_project(directory, load_plugins())
    release = read_release(project)
    if dotenv is not None:
        write_dotenv(project, release, dotenv)
    if as_json:
        images = release.model_dump(mode="json")["images"]
        print_json({name: image for name, image in images.items() if not components or name in components})
    elif snippets:
        write_data(show_snippets(project, release, components, way))
    elif dotenv is None:
        for name, image in release.images.items():
            if components and name not in components:
                continue
            echo(f"{name}  {image.reference}  {'built' if image.built else 'unchanged'}")
