"""The iac-bump stage: pins the release's images in the IaC repository by one commit."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from pipegraft.core.model import Duration, Name
from pipegraft.core.plugins import hookimpl
from pipegraft.core.stage import Requirement, Stage, StageContext, StageInputs
from pipegraft.iac.bump.apply import prepare_bump, record_bump, record_newer, show_bump
from pipegraft.iac.optimistic_commit import rewrite
from pipegraft.iac.ports.repository import IAC, NewerProposed

__all__ = ["STAGE", "IacBumpInputs", "pipegraft_stages"]


class IacBumpInputs(StageInputs):
    """What a pipeline may set."""

    dry_run: bool = False
    """Show the change as a diff and write nothing."""
    promote_from: Name | None = Field(default=None, alias="from")
    """Carry exactly what another environment runs, instead of this pipeline's images."""
    config: str = ""
    """Configuration to release too: a PATH=VALUE a line, such as components.web.env.LIMIT=5."""
    images: bool = True
    """Release images; without, `config` alone is a release on what runs there."""
    verify: bool = True
    """Ask the registry for every digest before it is written."""
    deadline: Duration = 900.0
    """How long to go on while other pipelines keep moving the branch."""


def run(context: StageContext, inputs: IacBumpInputs) -> None:
    """Write the release into the environment's files, or find that there is nothing to write.

    Raises:
        UsageError: there are no images, the configuration cannot be released, or the IaC repository is not
            this application's.
        Conflict: somebody changed the same image by hand meanwhile.
        Vetoed: an image lacks the signature or provenance that the environment requires.
        OutsideError: the repository or the registry did not answer.
    """
    branch = context.open(IAC)
    edit = prepare_bump(
        context,
        branch,
        inputs.promote_from,
        verify=inputs.verify,
        config=[line for line in inputs.config.splitlines() if line.strip()],
        images=inputs.images,
    )
    if inputs.dry_run:
        show_bump(context, edit, branch)
        return
    try:
        done = rewrite(
            branch,
            edit,
            deadline=inputs.deadline,
            notice=lambda reason: context.report("progress", f"waiting: {reason}", context.environment or ""),
        )
    except NewerProposed as newer:
        record_newer(context, edit, newer)
        return
    written = done.commit if done.written else None
    record_bump(context, edit, branch, written, tip=done.commit, attempts=done.attempts)


STAGE = Stage(
    name="iac-bump",
    summary="Writes the release to the IaC repository by one commit.",
    run=run,
    inputs=IacBumpInputs,
    scope="environment",
    after=("image-build",),
    deploys=True,
    requires=(
        Requirement("git", "reads and writes the IaC repository"),
        Requirement("PIPEGRAFT_IAC_TOKEN", "writes to the IaC repository over HTTP", secret=True),
        Requirement("PIPEGRAFT_IAC_USER", "goes with the token where the server wants a certain user"),
        Requirement("PIPEGRAFT_IAC_SSH_KEY", "file with the key that writes over SSH", secret=True),
        Requirement(
            "PIPEGRAFT_SIGNING_KEY", "signs commits: a file with an SSH or OpenPGP key, or a GPG key's id"
        ),
        Requirement("PIPEGRAFT_SIGNING_PASSWORD", "opens an OpenPGP key of a file", secret=True),
    ),
    description="""\
Sets the digests of the release in `environments/NAME.yaml` of the IaC repository, or in the files that
`targets` names, and changes no other byte of them. With `gray:` in `delivery.yaml` the release is
prepared first: a `gray:` block of weight 0 is added, and gray-release raises its weight.

The branch moves by compare-and-swap: when another pipeline was faster, the edit is made again on the
new tip. Files that hold a newer release are left alone (`superseded`), those that hold the same images
too (`unchanged`); both succeed, and the release record names the commit that holds them. When a person
changed the same image meanwhile, the stage stops and names both values.
""",
)


@hookimpl
def pipegraft_stages() -> Iterable[Stage]:
    """The stage."""
    yield STAGE
