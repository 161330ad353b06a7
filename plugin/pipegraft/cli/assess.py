"""`pipegraft assess`: where repositories stand, and what to do next."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from pipegraft.cli import run
from pipegraft.cli.common import json_option, load_plugins, print_json, write_page
from pipegraft.cli.group import forge_of, propose, shown
from pipegraft.core.console import open_console, unified_diff
from pipegraft.core.errors import UsageError
from pipegraft.core.foreign_text import echo
from pipegraft.fleet.adapters import TOKEN
from pipegraft.fleet.usecases.projects import Campaign, Clones, assess_group, select, taking_next_step
from pipegraft.maturity.hooks import Assessment
from pipegraft.maturity.report import assessment_page, assessment_view, fleet_view, signal_list
from pipegraft.maturity.usecases import assess_folder, next_step

__all__ = ["assess_command"]

_JOBS = 4
"""Projects of a group that are cloned at once."""

_folder = click.Path(path_type=Path)


@click.command("assess")
@click.argument("paths", nargs=-1, type=_folder, metavar="[PATH]...")
@click.option("--iac", type=_folder, help="Clone of the IaC repository, where it is not on this machine.")
@click.option("--all", "everything", is_flag=True, help="Show every signal with its evidence.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with a heat map.")
@click.option("--fix", is_flag=True, help="Take the next step that can be taken here, and show what changed.")
@click.option("--signal", "name", help="With --fix: the signal to bring about.")
@click.option("--dry-run", is_flag=True, help="With --fix: only show what would change.")
@click.option("--group", help="Every project of this GitLab group, instead of PATHs.")
@click.option("--server", metavar="URL", help="With --group: the GitLab server; CI_SERVER_URL if absent.")
@click.option("--filter", "patterns", multiple=True, metavar="GLOB", help="With --group: only these paths.")
@json_option
def assess_command(
    *,
    paths: tuple[Path, ...],
    iac: Path | None,
    everything: bool,
    html: Path | None,
    fix: bool,
    name: str | None,
    dry_run: bool,
    group: str | None,
    server: str | None,
    patterns: tuple[str, ...],
    as_json: bool,
) -> int:
    """Say on which stage of the path each dimension of a repository stands, and what comes next.

    PATH is the repository, this folder if absent; several are compared, and so are the projects of a
    group, where --fix proposes the next step of each as a merge request.
    """
    if (name or dry_run) and not fix:
        raise UsageError("--signal and --dry-run belong to --fix", fix="add --fix")
    if group:
        if paths or iac:
            raise UsageError("expected PATHs or --group, found both")
        if fix:
            return _fix_group(group, server, patterns, name, dry_run=dry_run, as_json=as_json)
        return _report(_assess_group(group, server, patterns), html, everything=everything, as_json=as_json)
    if server or patterns:
        raise UsageError("--server and --filter belong to --group", fix="add --group")
    folders = paths or (Path(),)
    if fix:
        if len(folders) > 1:
            raise UsageError("expected one repository with --fix, found several")
        return _fix(folders[0], name, dry_run=dry_run)
    found = [assess_folder(folder, load_plugins(), time.time(), iac) for folder in folders]
    return _report(found, html, everything=everything, as_json=as_json)


def _assess_group(group: str, server: str | None, patterns: tuple[str, ...]) -> list[Assessment]:
    forge = forge_of(group, server)
    with shown("Looks at every project") as progress:
        return assess_group(
            select(forge, patterns), load_plugins(), _clones(), progress, now=time.time(), jobs=_JOBS
        )


def _fix_group(
    group: str,
    server: str | None,
    patterns: tuple[str, ...],
    name: str | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> int:
    campaign = Campaign(
        f"pipegraft/step-{name}" if name else "pipegraft/step",
        "Take the next step on the path",
        "The lowest step that a machine can take, found by `pipegraft assess`.",
        taking_next_step(load_plugins(), _clones(), now=time.time(), signal=name),
    )
    return propose(forge_of(group, server), campaign, patterns, jobs=_JOBS, dry_run=dry_run, as_json=as_json)


def _clones() -> Clones:
    return Clones(os.environ.get(TOKEN, ""), os.environ)


def _report(found: list[Assessment], html: Path | None, *, everything: bool, as_json: bool) -> int:
    if html:
        write_page(html, assessment_page(found))
    if as_json:
        print_json([one.to_json() for one in found])
        return 0
    _show(found, everything=everything)
    if html:
        echo(f"written to {html}")
    return 0


def _show(found: list[Assessment], *, everything: bool) -> None:
    console = open_console()
    if len(found) > 1:
        console.print(fleet_view(found))
    for one in found if len(found) == 1 or everything else ():
        console.print(assessment_view(one))
        for line in signal_list(one) if everything else ():
            console.print(line)


def _fix(folder: Path, name: str | None, *, dry_run: bool) -> int:
    made = next_step(folder, load_plugins(), time.time(), name)
    if made is None:
        echo("nothing that can be done from here is left; `pipegraft assess` names what people must do")
        return 0
    signal = made.assessed.signal
    echo(f"{signal.name}: {signal.claim} (stage {signal.stage}, {signal.dimension})")
    if made.command:
        words = [*made.command, *(["--dry-run"] if dry_run else [])]
        echo(f"$ pipegraft {' '.join(words)}")
        return run(words)
    for path, text in made.files.items():
        open_console(soft_wrap=True).print(unified_diff(path, made.before[path], text))
    if not dry_run:
        made.write()
        echo(f"written: {', '.join(made.files)}")
    return 0
