"""`pipegraft assess`: where repositories stand, and what to do next."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipegraft.cli.common import json_option, load_plugins, print_json, write_page
from pipegraft.errors import UsageError

if TYPE_CHECKING:
    from pipegraft.domain.maturity.stages import Assessment

__all__ = ["command"]

_folder = click.Path(path_type=Path)


@click.command("assess")
@click.argument("paths", nargs=-1, type=_folder, metavar="[PATH]...")
@click.option("--iac", type=_folder, help="Clone of the IaC repository, where it is not on this machine.")
@click.option("--all", "everything", is_flag=True, help="Show every signal with its evidence.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with a heat map.")
@click.option("--fix", is_flag=True, help="Take the next step that can be taken here, and show what changed.")
@click.option("--signal", "name", help="With --fix: the signal to bring about.")
@click.option("--dry-run", is_flag=True, help="With --fix: only show what would change.")
@json_option
def command(
    *,
    paths: tuple[Path, ...],
    iac: Path | None,
    everything: bool,
    html: Path | None,
    fix: bool,
    name: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Say on which stage of the path each dimension of a repository stands, and what comes next.

    PATH is the repository, this folder if absent; several are compared.
    """
    folders = paths or (Path(),)
    if fix:
        if len(folders) > 1:
            raise UsageError("expected one repository with --fix, found several")
        return _fix(folders[0], name, dry_run=dry_run)
    if name or dry_run:
        raise UsageError("--signal and --dry-run belong to --fix", fix="add --fix")
    from pipegraft.usecases.assess import assess_folder  # noqa: PLC0415

    found = [assess_folder(folder, load_plugins(), time.time(), iac) for folder in folders]
    if html:
        from pipegraft.reports.assessment_page import assessment_page  # noqa: PLC0415

        write_page(html, assessment_page(found))
    if as_json:
        print_json([one.to_json() for one in found])
        return 0
    _show(found, everything=everything)
    if html:
        click.echo(f"written to {html}")
    return 0


def _show(found: list[Assessment], *, everything: bool) -> None:
    from rich.console import Console  # noqa: PLC0415

    from pipegraft.reports.assessment_view import assessment_view, fleet_view, signal_list  # noqa: PLC0415

    console = Console(highlight=False)
    if len(found) > 1:
        console.print(fleet_view(found))
    for one in found if len(found) == 1 or everything else ():
        console.print(assessment_view(one))
        for line in signal_list(one) if everything else ():
            console.print(line)


def _fix(folder: Path, name: str | None, *, dry_run: bool) -> int:
    from rich.console import Console  # noqa: PLC0415

    from pipegraft.reports.diff import unified_diff  # noqa: PLC0415
    from pipegraft.usecases.assess import next_step  # noqa: PLC0415

    made = next_step(folder, load_plugins(), time.time(), name)
    if made is None:
        click.echo("nothing that can be done from here is left; `pipegraft assess` names what people must do")
        return 0
    signal = made.assessed.signal
    click.echo(f"{signal.name}: {signal.claim} (stage {signal.stage}, {signal.dimension})")
    if made.command:
        from pipegraft.cli import run  # noqa: PLC0415 - this module is imported by it

        words = [*made.command, *(["--dry-run"] if dry_run else [])]
        click.echo(f"$ pipegraft {' '.join(words)}")
        return run(words)
    for path, text in made.files.items():
        Console(highlight=False, soft_wrap=True).print(unified_diff(path, made.before[path], text))
    if not dry_run:
        made.write()
        click.echo(f"written: {', '.join(made.files)}")
    return 0
