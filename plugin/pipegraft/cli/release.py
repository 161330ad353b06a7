"""`pipegraft run` and `pipegraft rollback`: release from here, and take a release back by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from pipegraft.app.gray import wait_until_live
from pipegraft.app.run import RunRequest, run_stages
from pipegraft.cli.common import directory_option, json_option, load_plugins, print_json, working_plugins
from pipegraft.core.console import open_progress
from pipegraft.core.delivery_file import open_project
from pipegraft.core.foreign_text import echo
from pipegraft.core.hooks import connected
from pipegraft.core.release import EnvironmentRelease, Release
from pipegraft.iac.ports import IAC, renderers_of
from pipegraft.iac.rollback import Rollback, RollbackRequest, roll_back

__all__ = ["rollback_command", "run_command"]


@click.command("run")
@click.argument("stages", nargs=-1, metavar="[STAGE]…")
@directory_option
@click.option("--env", "environment", help="Only this environment; every one in order if absent.")
@click.option(
    "--from",
    "origin",
    metavar="ENV",
    help="Carry exactly what this environment runs to --env, instead of new images.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="INPUT=VALUE",
    help="Set an input of a stage (STAGE.INPUT=VALUE where several have it). Repeatable.",
)
@json_option
def run_command(
    *,
    stages: tuple[str, ...],
    directory: Path,
    environment: str | None,
    origin: str | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run the plan, or the STAGEs named, one after another.

    The release record .pipegraft/release.json says what was done. The same command continues a run
    that was cut short. Inputs may also come from variables PIPEGRAFT_INPUT_<STAGE>_<INPUT>.
    """
    if origin and not environment:
        raise click.UsageError("expected --env with --from: the environment to carry to")
    promotion = {"iac-bump.from": origin} if origin else {}
    request = RunRequest(stages, environment, _settings(settings) | promotion, os.environ)
    with working_plugins() as plugins, open_progress() as progress:
        release = run_stages(open_project(directory, plugins), request, progress)
    if as_json:
        print_json(release.model_dump(mode="json"))
        return
    for line in _summary(release, environment):
        echo(line, err=True)


def _summary(release: Release, environment: str | None) -> Iterator[str]:
    """What the release is now, environment by environment, and what shows more of it.

    Arguments:
        environment: the only one that was asked for, None for all.
    """
    built = sum(image.built for image in release.images.values())
    count = len(release.images)
    images = "1 image" if count == 1 else f"{count} images"
    yield f"release {release.source.number} of {release.app}: {images}, {built} built now"
    there = {name: one for name, one in release.environments.items() if environment in (None, name)}
    for name, one in there.items():
        yield f"  {name}: {_standing(one)}"
    for name, one in there.items():
        if one.bump and one.bump.outcome == "superseded":
            yield f"  to release again in {name}, commit a change and run this once more"
        elif one.bump:
            yield f"  to see how it came there: pipegraft audit --env {name}"


def _standing(one: EnvironmentRelease) -> str:
    if one.bump and one.bump.outcome == "superseded":
        return "nothing was done: a newer release stands there, or this one was taken back"
    if one.gray:
        last = one.gray[-1]
        phase = f"gets {last.weight}% of the requests" if last.phase == "step" else last.phase
        return f"{phase}, commit {last.commit[:12]}"
    if one.gate:
        return one.gate.evidence
    return f"{one.bump.outcome}, commit {one.bump.commit[:12]}" if one.bump else "nothing was written yet"


def _settings(words: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"expected INPUT=VALUE, found {word!r}", param_hint="--set")
        found[key] = value
    return found


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
def rollback_command(
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
        request = replace(request, renderers=renderers_of(connections, project.delivery, environment))
        done = roll_back(connections.open(IAC), request)
    if as_json:
        print_json(_rollback_data(done, written=done.written and not dry_run))
    else:
        _show_rollback(done, environment, dry_run=dry_run)
    if wait:
        with open_progress() as progress:
            wait_until_live(project, environment, done.commit, progress)


def _rollback_data(done: Rollback, *, written: bool) -> dict[str, Any]:
    return {
        "commit": done.commit,
        "restored": done.restored,
        "paths": list(done.paths),
        "taken-back": done.taken_back.number if done.taken_back else None,
        "written": written,
    }


def _show_rollback(done: Rollback, environment: str, *, dry_run: bool) -> None:
    if not done.written:
        more = ", by this pipeline already; --again goes one release further back" if done.repeated else ""
        echo(f"unchanged: {environment} is as it was at {done.restored[:12]}{more}")
        return
    gone = f"release {done.taken_back.number}" if done.taken_back else "what was there"
    verb = "would take back" if dry_run else "took back"
    echo(f"{verb} {gone} in {environment}: {', '.join(done.paths)} as at {done.restored[:12]}")
    if not dry_run:
        echo(f"commit {done.commit}")
