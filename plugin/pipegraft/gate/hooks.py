"""The hooks that GitOps engines come by, and those who know what became of a release."""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pipegraft.core.model import Model
from pipegraft.core.plugins import Kind, hookspec
from pipegraft.core.stage import StageContext
from pipegraft.gate.ports import EngineRequest, GitOpsEngine, VerdictRule

__all__ = ["GITOPS_ENGINES", "GitOpsEnginePlugin", "Objection"]


@dataclass(frozen=True, slots=True)
class GitOpsEnginePlugin:
    """A GitOps engine.

    Arguments:
        name: ``argocd``, ``flux``, ``kubevela``, ``embedded``, …
        options: the keys of `gate:` that belong to it.
        connect: validated options and what it is connected for → the engine.
        verdict: reads its status.
        settle: seconds success must hold where `delivery.yaml` does not say, because the engine's own status
            may lag behind what it has just applied.
        names_commit: what it applies must name its commit, and so cannot be a file of that commit.
    """

    name: str
    options: type[Model]
    connect: Callable[[Any, EngineRequest], GitOpsEngine]
    verdict: VerdictRule
    settle: float = 0.0
    names_commit: bool = False


Objection = Callable[[str], str | None]
"""A commit of the IaC repository → why it does not hold the release, as a clause; None where it does."""

GITOPS_ENGINES = Kind("pipegraft_gitops_engines", GitOpsEnginePlugin, "GitOps engine")


@hookspec
def pipegraft_gitops_engines() -> Iterable[GitOpsEnginePlugin]:
    """GitOps engines a gate can wait for. Called once, when ``delivery.yaml`` is read.

    Example::

        class Options(Model):
            application: str

        @hookimpl
        def pipegraft_gitops_engines():
            yield GitOpsEnginePlugin(name="mine", options=Options, connect=MyEngine, verdict=my_verdict)

    Returns:
        Engines, each with a name no other plugin uses.
    """


@hookspec
def pipegraft_taken_back(context: StageContext) -> Objection | None:
    """Who knows whether a later commit took the release back. Called by sync-gate before it waits.

    What an engine has live may contain the release's commit and hold another release nevertheless.

    Example::

        @hookimpl
        def pipegraft_taken_back(context):
            branch = context.open(IAC)
            return lambda revision: "it is frozen" if branch.read("FROZEN", revision) else None

    Arguments:
        context: what the stage was given.

    Returns:
        What is asked about each revision that the engine reports, or None.
    """


@hookspec
def pipegraft_gate_refused(context: StageContext, reason: str) -> str | None:
    """May take back a release that the engine refused. Called by sync-gate when it has failed.

    Example::

        @hookimpl
        def pipegraft_gate_refused(context, reason):
            return revert(context.open(IAC), reason)

    Arguments:
        context: what the stage was given.
        reason: what the engine said.

    Returns:
        The commit that takes it back, which the gate waits for; None if nothing was written.
    """
