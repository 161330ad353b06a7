"""``pipegraft render``: what an app spec becomes for an engine."""

from __future__ import annotations

from pathlib import Path

import click

from pipegraft.cli.common import load_plugins


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
def command(*, folder: Path, environments: tuple[str, ...], target: str, revision: str | None) -> None:
    """Show what the app spec in FOLDER becomes for an engine.

    The output is the same, byte for byte, for the same spec.
    """
    from pipegraft.hookspecs import TRAFFIC_ROUTERS  # noqa: PLC0415
    from pipegraft.usecases.render import render  # noqa: PLC0415

    plugins = load_plugins().all(TRAFFIC_ROUTERS)
    routers = {name: plugin.cluster for name, plugin in plugins.items() if plugin.cluster}
    click.echo(render(folder, environments, target, revision, routers), nl=False)
