"""`pipegraft plugins`: what is loaded, from where, and what does not work."""

from __future__ import annotations

from dataclasses import asdict

import click

from pipegraft.app.inventory import list_plugins
from pipegraft.cli.common import json_option, load_plugins, print_json
from pipegraft.core.foreign_text import echo

__all__ = ["command"]


@click.command("plugins")
@json_option
def command(as_json: bool) -> int:
    """List the plugins that are loaded, from where, what they provide, and what failed and why.

    Exit code 2 when one of them does not work.
    """
    plugins = list_plugins(load_plugins())
    if as_json:
        print_json([asdict(plugin) for plugin in plugins])
    else:
        for plugin in plugins:
            echo(f"{plugin.name}  ({plugin.origin})")
            for provided in plugin.provides:
                echo(f"    {provided}")
            if plugin.error:
                echo(f"    does not work: {plugin.error}")
                echo(f"    fix: {plugin.fix}")
    return 2 if any(plugin.error for plugin in plugins) else 0
