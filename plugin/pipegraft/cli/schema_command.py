"""`pipegraft schema`: the JSON Schema of delivery.yaml."""

from __future__ import annotations

import click

from pipegraft.cli.common import load_plugins, print_json

__all__ = ["command"]


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of delivery.yaml, for editors and other tools.

    With the YAML language server, put this line first in delivery.yaml:
    "# yaml-language-server: $schema=.pipegraft/delivery.schema.json"
    """
    from pipegraft.usecases.inventory import delivery_schema  # noqa: PLC0415

    print_json(delivery_schema(load_plugins()))
