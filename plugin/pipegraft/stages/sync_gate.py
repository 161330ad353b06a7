"""sync-gate: the pipeline goes on once the engine has the new revision live and healthy."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from pipegraft.actions.wait import Patience, wait_for_revision
from pipegraft.errors import UsageError
from pipegraft.hookspecs import hookimpl
from pipegraft.model.base import Duration
from pipegraft.model.release import GateResult
from pipegraft.ports.stage import Stage, StageContext, StageInputs

__all__ = ["SyncGateInputs", "pipegraft_stages", "run"]


class SyncGateInputs(StageInputs):
    """What a pipeline may set."""

    timeout: Duration = Field(default=0.0)
    """How long to wait at most; 0 takes what `delivery.yaml` says."""


def run(context: StageContext, inputs: SyncGateInputs) -> None:
    """Wait for the revision that iac-bump wrote."""
    environment = context.require_environment()
    bump = context.releases.load().environments.get(environment)
    if bump is None or bump.bump is None:
        raise UsageError(
            f"the release record has no commit for '{environment}' to wait for",
            fix="run iac-bump first, or keep .pipegraft/release.json between the jobs",
        )
    target = bump.bump.commit
    gate = context.delivery.environments[environment].gate
    engine, rule = context.connections.engine(environment)
    waited = wait_for_revision(
        engine,
        rule,
        history=context.connections.iac(),
        target=target,
        patience=Patience(inputs.timeout or gate.timeout, gate.settle),
        clock=context.clock,
        progress=context.progress,
    )
    result = GateResult(
        revision=target,
        verdict=str(waited.verdict.state),
        evidence=waited.verdict.reason,
        seconds=round(waited.seconds, 3),
    )
    context.update_environment(gate=result)


@hookimpl
def pipegraft_stages() -> Iterable[Stage]:
    yield Stage(
        name="sync-gate",
        summary="Waits until the GitOps engine has the new revision live and healthy, or says why not.",
        run=run,
        inputs=SyncGateInputs,
        after=("iac-bump",),
        deploys=True,
        description=(
            "Succeeds on the revision that iac-bump wrote or on a commit that contains it, never on the one"
            " before. A failure the engine knows ends the wait at once, with the resource and its log."
        ),
    )
