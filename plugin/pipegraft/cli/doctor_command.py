"""`pipegraft doctor`: what is wrong with everything that a delivery needs, and how to mend it."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import click

from pipegraft.app.doctor import CheckUp, doctor_view, examine, summary
from pipegraft.cli.common import directory_option, json_option, load_plugins, print_json
from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.console import open_console
from pipegraft.core.delivery_file import open_project
from pipegraft.core.doctor import Health
from pipegraft.core.hooks import connected

__all__ = ["command"]


@click.command("doctor")
@directory_option
@click.option("--only", multiple=True, metavar="NAME", help="One examination; may be given several times.")
@json_option
def command(directory: Path, only: tuple[str, ...], as_json: bool) -> int:
    """Check everything that a delivery needs, and say how to mend what is wrong. Nothing is written anywhere.

    Ends with 1 if something is wrong, with 3 if nothing is and a system did not answer.
    """
    project = open_project(directory, load_plugins())
    with connected(project) as connections:
        found = examine(project, connections, os.environ, SystemClock(), only)
    if as_json:
        print_json([one.to_json() for one in found])
    else:
        _show(found)
    health = {one.health for check in found for one in check.diagnoses}
    return 1 if Health.WRONG in health else 3 if Health.UNREACHABLE in health else 0


def _show(found: list[CheckUp]) -> None:
    console = open_console()
    blocks = {
        name: [one for check in checks for one in check.diagnoses]
        for name, checks in itertools.groupby(found, key=lambda check: check.examination.name)
    }
    for part in doctor_view(blocks):
        console.print(part)
    console.print()
    console.print(summary(one for diagnoses in blocks.values() for one in diagnoses), style="bold")
