"""What must hold before the first request of a gray release goes to the new version."""

from __future__ import annotations

from collections.abc import Mapping

from pipegraft.appspec.rendering.common import other_routers
from pipegraft.appspec.spec import Resolved
from pipegraft.core.errors import UsageError
from pipegraft.gray.ports.metrics import MetricSource

__all__ = ["check_before_traffic"]


def check_before_traffic(
    spec: Resolved | None, router: str, sources: Mapping[str, MetricSource], now: float
) -> None:
    """Make sure that the delivery's router splits the requests, and that every metric source answers.

    Arguments:
        spec: the app spec of the environment, None if it is none.
        router: what `gray.router` of the delivery names.
        sources: by the metric's name.
        now: seconds since the epoch.

    Raises:
        OutsideError, UsageError: one of it does not hold; nothing was written.
    """
    for component, other in other_routers(spec, router) if spec else ():
        raise UsageError(
            f"delivery.yaml names the router '{router}', but the entrance of '{component}' in "
            f"app.yaml is split by '{other}'",
            fix="name the same router in 'gray.router' and in 'entrance.router'",
        )
    for source in sources.values():
        source.begin(now, now)
