"""Many at once: `pipegraft bump` for applications, `pipegraft fleet` for the projects of a group."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import click

from pipegraft.app.bump import BumpOrder, bump_all, worst
from pipegraft.ci.hooks import InjectOptions
from pipegraft.ci.usecases import choose_source
from pipegraft.cli.common import json_option, load_plugins, print_json
from pipegraft.cli.group import (
    InWaves,
    OnGroup,
    Proposing,
    exit_code,
    in_waves,
    on_group,
    propose,
    proposing,
    show_roll_out,
    shown,
)
from pipegraft.core.console import open_console, open_progress
from pipegraft.core.delivery_file import open_project
from pipegraft.core.foreign_text import echo
from pipegraft.fleet.report import print_table, request_links
from pipegraft.fleet.usecases.edits import bumping, ejecting, injecting, upgrading
from pipegraft.fleet.usecases.projects import Campaign, select, survey

__all__ = ["bump_command", "fleet_command"]


@click.group("fleet")
def fleet_command() -> None:
    """Graft, follow and upgrade delivery in all projects of a GitLab group.

    Each project gets one merge request for each purpose, brought up to date in place; archived projects
    and forks are left alone. Everything may be interrupted and run again. PIPEGRAFT_GITLAB_TOKEN holds a
    group access token with the scope api.
    """


@fleet_command.command("inject")
@on_group
@proposing
@click.option("--mode", type=click.Choice(["include", "child"]), help="As for `pipegraft inject`.")
@click.option("--after", metavar="STAGE", help="As for `pipegraft inject`.")
@click.option("--from-project", metavar="PROJECT", help="Take the templates from a project on the server.")
@click.option("--from-url", metavar="URL", help="Take the templates from below a URL.")
@click.option("--ref", help="Version to pin: tag, branch or commit; this program's own if absent.")
@click.option("--image", help="Container image the jobs run in.")
@click.option("--tag", "tags", multiple=True, help="Tag of the runners that take the jobs; repeatable.")
def inject(
    *,
    place: OnGroup,
    how: Proposing,
    mode: Literal["include", "child"] | None,
    after: str | None,
    from_project: str | None,
    from_url: str | None,
    ref: str | None,
    image: str | None,
    tags: tuple[str, ...],
) -> int:
    """Propose delivery to every project that has a delivery.yaml."""
    options = InjectOptions(
        source=choose_source(project=from_project, url=from_url, ref=ref),
        ref=ref,
        mode=mode,
        after=after,
        image=image,
        tags=tags or None,
    )
    campaign = Campaign(
        "pipegraft/inject",
        "Graft delivery onto the pipeline",
        "Adds the stages of `delivery.yaml` to the pipeline; your jobs stay as they are, which was proven "
        "before this was proposed. `pipegraft eject` restores your files byte for byte.",
        injecting(load_plugins(), options),
        auto_merge=how.auto_merge,
    )
    return _propose(place, how, campaign)


@fleet_command.command("eject")
@on_group
@proposing
def eject(
    *,
    place: OnGroup,
    how: Proposing,
) -> int:
    """Propose to take delivery out again, byte for byte."""
    campaign = Campaign(
        "pipegraft/eject",
        "Take delivery out of the pipeline",
        "Restores the pipeline as it was before `pipegraft inject`.",
        ejecting(load_plugins()),
        auto_merge=how.auto_merge,
    )
    return _propose(place, how, campaign)


def _propose(place: OnGroup, how: Proposing, campaign: Campaign) -> int:
    return propose(
        place.forge,
        campaign,
        place.patterns,
        jobs=place.jobs,
        dry_run=how.dry_run,
        as_json=place.as_json,
    )


@fleet_command.command("status")
@on_group
def status(*, place: OnGroup) -> int:
    """Show each project's template version, drift, open merge requests and last pipeline.

    Ends with 1 if a project's own files do not allow to tell, with 3 if the server did not.
    """
    forge = place.forge
    with shown("Looks at every project") as progress:
        found = survey(forge, select(forge, place.patterns), load_plugins(), progress, jobs=place.jobs)
    if place.as_json:
        print_json(
            [
                {
                    "project": one.project.path,
                    "state": one.state,
                    "version": one.version,
                    "note": one.note,
                    "merge-requests": [request.url for request in one.proposals],
                    "pipeline": one.last and {"status": one.last.status, "url": one.last.url},
                }
                for one in found
            ]
        )
        return exit_code(found)
    console = open_console(highlight=True)
    rows = [
        (
            one.project.path,
            one.state,
            one.version or "",
            one.last.status if one.last else "",
            request_links(console, one.proposals),
            one.note,
        )
        for one in found
    ]
    columns = ("project", "state", "templates", "pipeline", "merge requests", "note")
    print_table(console, columns, rows, {"skipped"})
    return exit_code(found)


@fleet_command.command("upgrade")
@on_group
@in_waves
@click.option("--to", "version", required=True, help="Tag of the templates to pin.")
def upgrade(
    *,
    place: OnGroup,
    waves: InWaves,
    version: str,
) -> int:
    """Raise the pinned version of the templates in waves, and take it back if pipelines suffer."""
    campaign = Campaign(
        f"pipegraft/upgrade-{version}",
        f"Take delivery's templates {version}",
        f"Raises the pin of the templates to {version}. The fleet takes it in waves; it is undone by itself "
        "if pipelines fail more often since.",
        upgrading(load_plugins(), version),
        auto_merge=waves.auto_merge,
    )
    return show_roll_out(place, campaign, waves)


@fleet_command.command("bump")
@on_group
@in_waves
@click.argument("component")
@click.option("--image", required=True, help="The new image, pinned by digest.")
@click.option("--env", "environments", multiple=True, help="Only these environments; repeatable.")
def bump(
    *,
    place: OnGroup,
    waves: InWaves,
    component: str,
    image: str,
    environments: tuple[str, ...],
) -> int:
    """Carry COMPONENT's new image, a sidecar's for example, through the IaC repositories in waves."""
    digest = image.rpartition("sha256:")[2][:12]
    campaign = Campaign(
        f"pipegraft/bump-{component}-{digest}",
        f"{component}: take image {digest}",
        f"Pins `{component}` to `{image}` where an environment pins it already.",
        bumping(component, image, environments),
        auto_merge=waves.auto_merge,
    )
    return show_roll_out(place, campaign, waves)


@click.command("bump")
@click.argument("folders", nargs=-1, metavar="[FOLDER]…", type=click.Path(file_okay=False, path_type=Path))
@click.option("--env", "environments", multiple=True, required=True, help="Where to release. Repeatable.")
@click.option(
    "--from", "origin", metavar="ENV", help="Carry exactly what this environment runs, instead of new images."
)
@click.option("--dry-run", is_flag=True, help="Show the differences and write nothing.")
@json_option
def bump_command(
    folders: tuple[Path, ...],
    environments: tuple[str, ...],
    origin: str | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Release the applications in FOLDERs, with one push for each IaC repository.

    Each FOLDER (this one if none is named) holds a delivery.yaml and the release record that image-build
    left. Each application and environment is a commit of its own; one that is refused does not stop the
    others. The exit code is that of the worst.
    """
    projects = [open_project(folder, load_plugins()) for folder in folders or (Path(),)]
    order = BumpOrder(projects, environments, origin, dry_run, variables=os.environ)
    with open_progress() as progress:
        results = bump_all(order, progress)
    if as_json:
        print_json(
            [
                {
                    "app": one.app,
                    "environment": one.environment,
                    "outcome": one.commit.outcome if one.commit else "refused" if one.error else "planned",
                    "commit": one.commit.commit if one.commit else None,
                    "error": one.error.problem.message if one.error else None,
                }
                for one in results
            ]
        )
    for one in results:
        for problem in one.error.problems if one.error else ():
            echo(f"error: {one.app} in {one.environment}: {problem}", err=True)
    return worst(results)
