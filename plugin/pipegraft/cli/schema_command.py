"""`pipegraft schema`: the JSON Schema of the files that users write."""

from __future__ import annotations

from typing import Literal

import click

from pipegraft.app.inventory import delivery_schema, spec_schema
from pipegraft.cli.common import load_plugins, print_json

__all__ = ["command"]


@click.command("schema")
@click.argument("file", type=click.Choice(["delivery", "app", "environment"]), default="delivery")
def command(file: Literal["delivery", "app", "environment"]) -> None:
    """Print the JSON Schema of delivery.yaml, app.yaml or environments/NAME.yaml, for editors.

    With the YAML language server, put this line first in delivery.yaml:
    "# yaml-language-server: $schema=.pipegraft/delivery.schema.json"
    """
    plugins = load_plugins()
    print_json(delivery_schema(plugins) if file == "delivery" else spec_schema(file, plugins))
