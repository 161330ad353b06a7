"""Resources of the engine's applications: run before what needs them, ended after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipegraft.appspec.ports.resources import HostedState, ResourceHost
from pipegraft.engine.usecases.application import Application

__all__ = ["Hosted", "advance_resources", "all_ready", "all_usable"]

Hosted = Mapping[str, HostedState]
"""Resource → how it is, of one application."""


def advance_resources(host: ResourceHost, applications: Sequence[Application]) -> list[Hosted]:
    """Bring every application's resources one step further.

    What nobody declares any more ends once every application is live, so that no workload loses what it
    still uses.

    Returns:
        For each application its resources.
    """
    declared = [one.desired.plan.resources if one.desired else () for one in applications]
    settled = all(one.desired and one.live == one.desired.revision for one in applications)
    wanted = {(each.namespace, each.name): each for group in declared for each in group}
    states = host.ensure(tuple(wanted.values()), end_others=settled)
    return [{each.name: states[each.namespace, each.name] for each in group} for group in declared]


def all_usable(hosted: Hosted) -> bool:
    """Whether the outputs of all are known."""
    return all(state.usable for state in hosted.values())


def all_ready(hosted: Hosted) -> bool:
    """Whether all of them serve."""
    return all(state.ready for state in hosted.values())
