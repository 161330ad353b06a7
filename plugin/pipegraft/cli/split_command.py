"""``pipegraft split``: one component closer to the others, or further away."""

from __future__ import annotations

from pathlib import Path

import click

from pipegraft.appspec.resource_ports import Target
from pipegraft.appspec.splitting import Move
from pipegraft.appspec.usecases.split import Split, plan_split, write_split
from pipegraft.cli.common import json_option, print_json
from pipegraft.cli.rendering import changes_data, rendering, show_changes, target_option
from pipegraft.core.console import open_console, unified_diff
from pipegraft.core.delivery import Intimacy

__all__ = ["command"]


def _ports(_context: click.Context, _option: click.Parameter, words: tuple[str, ...]) -> dict[str, int]:
    found = {}
    for word in words:
        name, equals, number = word.partition("=")
        if not (name and equals and number.isdecimal()):
            raise click.BadParameter(f"expected NAME=NUMBER, found '{word}'")
        found[name] = int(number)
    return found


@click.command("split")
@click.argument("component")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.option(
    "--to",
    type=click.Choice(["in-process", "ipc", "rpc"]),
    required=True,
    help="Mounted into its host, a sidecar of it, or a workload and Service of its own.",
)
@click.option(
    "--port",
    "ports",
    metavar="NAME=NUMBER",
    multiple=True,
    callback=_ports,
    help="Declare a port; repeatable.",
)
@click.option("--host", metavar="COMPONENT", help="For ipc and in-process: whose pod it joins.")
@click.option("--mount", metavar="PATH", help="For in-process: where it appears in the pod.")
@click.option(
    "--address",
    metavar="VARIABLE",
    help="Variable of its host that says where it is, HOST:PORT; later steps keep it right.",
)
@click.option("--worker", is_flag=True, help="It takes no requests, and is meant to have no ports.")
@click.option("--dry-run", is_flag=True, help="Show what would change and write nothing.")
@target_option
@json_option
def command(
    *,
    component: str,
    folder: Path,
    to: Intimacy,
    ports: dict[str, int],
    host: str | None,
    mount: str | None,
    address: str | None,
    worker: bool,
    dry_run: bool,
    target: Target,
    as_json: bool,
) -> None:
    """Move COMPONENT of the app spec in FOLDER one step: in-process, ipc, rpc, or back.

    Edits app.yaml and the environments, and no other byte of them, and shows what that changes in what is
    rendered. A step that cannot be made is refused with what to add; nothing is written then.
    """
    split = plan_split(folder, Move(component, to, ports, host, mount, worker, address), rendering(target))
    if not dry_run:
        write_split(split)
    if as_json:
        print_json(
            {
                "written": bool(split.files) and not dry_run,
                "files": {file: after for file, (_before, after) in split.files.items()},
                "removed": list(split.removed),
                "notes": list(split.notes),
                "rendered": changes_data(split.diffs),
            }
        )
    else:
        _show(split, component, to, dry_run=dry_run)


def _show(split: Split, component: str, to: str, *, dry_run: bool) -> None:
    console = open_console(soft_wrap=True)
    if not split.files:
        console.print(f"{component} is {to} already: nothing to do")
        return
    console.print(f"[bold]{'Would move' if dry_run else 'Moved'} {component} to {to}[/bold]")
    for file, (before, after) in split.files.items():
        console.print(unified_diff(file, before, after))
    for removed in split.removed:
        console.print(f"  taken out, for it has no meaning there: {removed}")
    for note in split.notes:
        console.print(f"  • {note}")
    console.print()
    show_changes(split.diffs)
