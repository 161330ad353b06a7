"""`pipegraft fleet`: many repositories of a GitLab group at once."""

from __future__ import annotations

from typing import Literal

import click

from pipegraft.ci.usecases import InjectOptions, choose_source
from pipegraft.cli.common import load_plugins, print_json
from pipegraft.cli.fleet import exit_code, propose, show_roll_out, shown
from pipegraft.cli.fleet_options import InWaves, OnGroup, Proposing, in_waves, on_group, proposing
from pipegraft.core.console import open_console
from pipegraft.fleet.report import print_table, request_links
from pipegraft.fleet.usecases.edits import bumping, ejecting, injecting, upgrading
from pipegraft.fleet.usecases.propose import Campaign, select
from pipegraft.fleet.usecases.survey import survey

__all__ = ["command"]


@click.group("fleet")
def command() -> None:
    """Graft, follow and upgrade delivery in all projects of a GitLab group.

    Each project gets one merge request for each purpose, brought up to date in place; archived projects
    and forks are left alone. Everything may be interrupted and run again. PIPEGRAFT_GITLAB_TOKEN holds a
    group access token with the scope api.
    """


@command.command("inject")
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


@command.command("eject")
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


@command.command("status")
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


@command.command("upgrade")
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


@command.command("bump")
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
