"""`pipegraft proxy`: the process that the embedded traffic router starts."""

from __future__ import annotations

from pathlib import Path

import click

from pipegraft.engine.adapters import proxy_server

__all__ = ["proxy_command"]


@click.command(hidden=True)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Routes, as JSON or YAML. Read again on SIGHUP; SIGTERM ends the proxy.",
)
@click.option("--background", is_flag=True, help="Return once it serves, and leave it running.")
def proxy_command(config: Path, background: bool) -> None:
    """Serve HTTP by weight: the traffic router of the embedded engine."""
    if background:
        proxy_server.serve_in_background(config)
    else:
        proxy_server.serve(config)
