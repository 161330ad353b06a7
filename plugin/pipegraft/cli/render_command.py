"""``pipegraft render``: what an app spec becomes for an engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipegraft.cli.common import load_plugins

if TYPE_CHECKING:
    from pipegraft.ports.resources import Target


@click.command("render")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.option("--env", "environments", multiple=True, help="Only this environment; repeatable.")
@click.option(
    "--target",
    type=click.Choice(["oam", "kubernetes", "compose"]),
    default="oam",
    show_default=True,
    help="What to render: a KubeVela Application, plain Kubernetes objects or a Compose file.",
)
@click.option("--revision", help="Commit to name in the output; a digest of the output if absent.")
def command(*, folder: Path, environments: tuple[str, ...], target: Target, revision: str | None) -> None:
    """Show what the app spec in FOLDER becomes for an engine.

    The output is the same, byte for byte, for the same spec.
    """
    from pipegraft.hookspecs import TRAFFIC_ROUTERS  # noqa: PLC0415
    from pipegraft.usecases.render import render  # noqa: PLC0415
    from pipegraft.usecases.resources import load_providers  # noqa: PLC0415

    plugins = load_plugins()
    routers = {name: one.cluster for name, one in plugins.all(TRAFFIC_ROUTERS).items() if one.cluster}
    rendered = render(
        folder,
        environments,
        target,
        revision,
        routers,
        load_providers=lambda: load_providers(plugins),
    )
    click.echo(rendered, nl=False)
