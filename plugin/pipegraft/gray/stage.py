"""gray-release: moves requests to the new version step by step, and takes it back if it is worse."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from pipegraft.appspec.environment_file import environment_path
from pipegraft.core.delivery import Delivery, Gray
from pipegraft.core.errors import UsageError
from pipegraft.core.model import Duration
from pipegraft.core.plugins import hookimpl
from pipegraft.core.stage import Stage, StageContext, StageInputs
from pipegraft.gray.branch import standing_source
from pipegraft.gray.forecast import learn, with_learnt
from pipegraft.gray.history import told_releases
from pipegraft.gray.observed_rollout import RolloutDrive
from pipegraft.gray.rollout_controller import GrayDrive, Pace
from pipegraft.iac.ports import IAC

__all__ = ["GrayReleaseInputs", "pipegraft_stages", "run"]

_NEWEST = 5000
"""Commits of an environment's file that are searched for earlier releases."""


class GrayReleaseInputs(StageInputs):
    """What a pipeline may set."""

    no_wait: bool = False
    """Do what is due and end; a later run goes on. With a source that does not remember, that is one step."""
    resume: bool = False
    """Go on with the release that stands in the IaC repository, whatever this pipeline is of: by schedule."""
    poll: Duration = Field(default=5.0, gt=0)
    """How often to look whether a person or a newer release changed the gray release."""
    pause_timeout: Duration = 3600.0
    """How long to wait for a person while the release is paused; then the stage ends; the release stays."""


def run(context: StageContext, inputs: GrayReleaseInputs) -> None:
    """Drive the release from wherever it stands to its end; see `GrayDrive.run` for what it raises."""
    environment = context.require_environment()
    gray = context.delivery.environments[environment].gray
    if gray is None:
        return
    if gray.learn:
        gray = _as_learnt(context, gray)
    if gray.rollout is not None:
        if inputs.resume:
            raise UsageError(
                f"the controller of '{gray.router}' goes on by itself: there is nothing to resume",
                fix="leave out 'resume'",
            )
        RolloutDrive(
            context,
            gray,
            wait=not inputs.no_wait,
            poll=inputs.poll,
            pause_timeout=inputs.pause_timeout,
        ).run()
        return
    source = (
        standing_source(context, gray) if inputs.resume else context.releases.load().source_in(environment)
    )
    if source is None:
        context.update_environment(outcome="unchanged")
        context.report("progress", "no gray release is under way", environment)
        return
    pace = Pace(not inputs.no_wait, inputs.poll, inputs.pause_timeout, holds=not inputs.resume)
    GrayDrive(context, gray, source, pace).run()


def _as_learnt(context: StageContext, gray: Gray) -> Gray:
    """The declaration with what the releases before this one speak for."""
    environment = context.require_environment()
    path = environment_path(context.delivery.iac.path, environment)
    number = context.releases.load().source_in(environment).number
    log = context.open(IAC).log(path, limit=_NEWEST)
    learnt = learn(gray, [one for one in told_releases(log, environment) if one.number < number])
    found = with_learnt(gray, learnt)
    said = f"learnt from earlier releases: wander {found.wander:g}, memory {found.memory:g}"
    if not learnt:
        said = "learn: earlier releases tell too little yet; what is declared holds"
    context.report("outlook", said, environment)
    return found


def _applies(delivery: Delivery, environment: str | None) -> bool:
    return environment is not None and delivery.environments[environment].gray is not None


@hookimpl
def pipegraft_stages() -> Iterable[Stage]:
    yield Stage(
        name="gray-release",
        summary="Moves requests to the new version step by step, and takes it back if it is worse.",
        run=run,
        inputs=GrayReleaseInputs,
        after=("iac-bump", "sync-gate"),
        applies=_applies,
        deploys=True,
        description=(
            "Each step is a commit in the IaC repository: the weight is raised, the engine takes it over,"
            " both versions are observed, and a judge says pass, fail or inconclusive. Promotion and rollback"
            " are one commit each; rollback restores the environment's file byte for byte. A run that was cut"
            " short is resumed by the same command, or by a scheduled pipeline with `resume` and `no-wait`."
        ),
    )
