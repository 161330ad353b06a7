"""`pipegraft resources`: what an application can ask for, and who provides it."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from pipegraft.appspec.hooks import describe_types
from pipegraft.cli.common import json_option, load_plugins, print_json
from pipegraft.core.console import open_console
from pipegraft.core.foreign_text import echo

__all__ = ["command"]


@click.command("resources")
@click.argument("types", metavar="[TYPE]...", nargs=-1)
@json_option
def command(types: tuple[str, ...], as_json: bool) -> None:
    """List the types of resources, what each takes and tells, and who provides it.

    With --json: JSON Schemas of the parameters, the outputs and the providers' options.
    """
    described = describe_types(load_plugins())
    unknown = [name for name in types if name not in described]
    if unknown:
        known = ", ".join(described)
        raise click.UsageError(f"there is no resource type '{unknown[0]}'; there are: {known}")
    chosen = {name: described[name] for name in types or described}
    if as_json:
        print_json(chosen)
    else:
        for name, told in chosen.items():
            _show(name, told)


def _show(name: str, told: dict[str, Any]) -> None:
    open_console(soft_wrap=True).print(Text.assemble((name, "bold"), f"  {told['summary']}"))
    for key, schema in told["params"]["properties"].items():
        required = " (required)" if key in told["params"]["required"] else ""
        default = f" Default: {_word(schema['default'])}." if "default" in schema else ""
        echo(f"    param    {key:<12} {schema.get('description', '')}{default}{required}")
    for key, schema in told["outputs"]["properties"].items():
        secret = " Secret." if schema.get("writeOnly") else ""
        echo(f"    output   {key:<12} {schema['description']}{secret}")
    for key, provider in told["providers"].items():
        echo(f"    provider {key} ({', '.join(provider['targets'])})")


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
