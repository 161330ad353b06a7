"""`pipegraft inject`: graft delivery onto an existing pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from pipegraft.ci.usecases import InjectOptions, choose_source, plan_injection
from pipegraft.cli.common import json_option, print_json, working_plugins
from pipegraft.cli.graft import graft_data, show_graft

__all__ = ["command"]


@click.command("inject")
@click.argument("path", type=click.Path(exists=True, path_type=Path), default=Path())
@click.option("--dry-run", is_flag=True, help="Show what would change and write nothing.")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if anything would change.")
@click.option("--ci", metavar="SYSTEM", help="gitlab or jenkins, where the file does not tell.")
@click.option(
    "--mode",
    type=click.Choice(["include", "child"]),
    help="Add jobs, or one job that starts a child pipeline.",
)
@click.option(
    "--after", metavar="STAGE", help="The stage of yours that delivery follows; your last one if absent."
)
@click.option(
    "--from-project", metavar="PROJECT", help="Take the templates from a project on the same server."
)
@click.option(
    "--from-url", metavar="URL", help="Take the templates from below a URL; {ref} in it becomes the version."
)
@click.option(
    "--from-component",
    metavar="HOST/GROUP/PROJECT[@VERSION]",
    help="Take the templates from a project of CI/CD components (GitLab).",
)
@click.option(
    "--local", is_flag=True, help="Copy the templates into .pipegraft/, as the first injection does."
)
@click.option("--ref", help="Version to pin: tag, branch or commit; this program's own if absent.")
@click.option("--image", help="Container image the jobs run in.")
@click.option(
    "--packages",
    metavar="TEXT",
    help="What pip installs where the image has no pipegraft: a wheel's URL with #sha256=…, or a name with "
    "its --index-url.",
)
@click.option(
    "--tag",
    "tags",
    multiple=True,
    help="Tag of the runners that take the jobs; repeatable, empty for none; as your own jobs if absent.",
)
@click.option("--branch", metavar="NAME", help="The branch that is delivered; the default branch if absent.")
@click.option(
    "--verify",
    metavar="URL",
    help="Ask the GitLab project at URL before anything is written; needs PIPEGRAFT_GITLAB_TOKEN.",
)
@json_option
def command(
    *,
    path: Path,
    dry_run: bool,
    check: bool,
    ci: str | None,
    mode: Literal["include", "child"] | None,
    after: str | None,
    from_project: str | None,
    from_url: str | None,
    from_component: str | None,
    local: bool,
    ref: str | None,
    image: str | None,
    packages: str | None,
    tags: tuple[str, ...],
    branch: str | None,
    verify: str | None,
    as_json: bool,
) -> int:
    """Graft the stages of delivery.yaml onto the pipeline in PATH.

    PATH is a repository's folder, or its .gitlab-ci.yml or Jenkinsfile. Your jobs stay as they are, and
    that is proven before anything is written. Run it again to follow a change of delivery.yaml or a new
    version of the templates; what you chose stays. `pipegraft eject` restores your files byte for byte.
    """
    options = InjectOptions(
        ci=ci,
        source=choose_source(
            project=from_project, url=from_url, component=from_component, local=local, ref=ref
        ),
        ref=ref,
        mode=mode,
        after=after,
        image=image,
        tags=tuple(tag for tag in tags if tag) if tags else None,
        packages=packages,
        branch=branch,
        verify=verify,
    )
    with working_plugins() as plugins:
        graft = plan_injection(path, plugins, options)
    write = not (dry_run or check)
    if write:
        graft.write()
    if as_json:
        print_json(graft_data(graft, written=write))
    else:
        show_graft(graft, written=write)
    return 1 if check and graft.injection.files else 0
