"""`pipegraft rollback`: take a release back by hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from pipegraft.app.gray import wait_until_live
from pipegraft.cli.common import directory_option, json_option, load_plugins, print_json
from pipegraft.core.console import open_progress
from pipegraft.core.delivery_file import open_project
from pipegraft.core.foreign_text import echo
from pipegraft.core.hooks import connected
from pipegraft.iac.ports import IAC
from pipegraft.iac.rollback import Rollback, RollbackRequest, roll_back

__all__ = ["command"]


@click.command("rollback")
@directory_option
@click.option("--env", "environment", required=True, help="The environment.")
@click.option("--to", help="Commit of the IaC repository whose files are wanted.", metavar="COMMIT")
@click.option("--again", is_flag=True, help="Go further back although this pipeline did so already.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--wait", is_flag=True, help="Wait until the engine has it; exit code 1 if it does not get there."
)
@json_option
def command(
    *,
    directory: Path,
    environment: str,
    to: str | None,
    again: bool,
    dry_run: bool,
    wait: bool,
    as_json: bool,
) -> None:
    """Restore an environment's files as they were before its newest release, by a commit.

    They are restored byte for byte. The release taken back stays away: its pipeline, late or repeated, is
    answered "superseded". A newer release is delivered as usual. Each further call goes back by one release
    more, but for a job that its pipeline repeats.
    """
    if wait and dry_run:
        raise click.UsageError("--wait has nothing to wait for with --dry-run")
    project = open_project(directory, load_plugins())
    pipeline = os.environ.get("CI_PIPELINE_URL") or os.environ.get("BUILD_URL") or "local"
    request = RollbackRequest(project.delivery, environment, to, dry_run, pipeline, again=again)
    with connected(project) as connections:
        done = roll_back(connections.open(IAC), request)
    if as_json:
        print_json(_data(done, written=done.written and not dry_run))
    else:
        _show(done, environment, dry_run=dry_run)
    if wait:
        with open_progress() as progress:
            wait_until_live(project, environment, done.commit, progress)


def _data(done: Rollback, *, written: bool) -> dict[str, Any]:
    return {
        "commit": done.commit,
        "restored": done.restored,
        "paths": list(done.paths),
        "taken-back": done.taken_back.number if done.taken_back else None,
        "written": written,
    }


def _show(done: Rollback, environment: str, *, dry_run: bool) -> None:
    if not done.written:
        more = ", by this pipeline already; --again goes one release further back" if done.repeated else ""
        echo(f"unchanged: {environment} is as it was at {done.restored[:12]}{more}")
        return
    gone = f"release {done.taken_back.number}" if done.taken_back else "what was there"
    verb = "would take back" if dry_run else "took back"
    echo(f"{verb} {gone} in {environment}: {', '.join(done.paths)} as at {done.restored[:12]}")
    if not dry_run:
        echo(f"commit {done.commit}")
