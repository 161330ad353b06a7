"""`pipegraft run`: run stages here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click

from pipegraft.app.run import RunRequest, run_stages
from pipegraft.cli.common import directory_option, json_option, print_json, working_plugins
from pipegraft.core.console import open_progress
from pipegraft.core.delivery_file import open_project
from pipegraft.core.foreign_text import echo
from pipegraft.core.release import EnvironmentRelease, Release

__all__ = ["command"]


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
def command(
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
