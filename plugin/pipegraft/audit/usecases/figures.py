"""The delivery figures of an environment, from the history of its file."""

from __future__ import annotations

from pipegraft.audit.dora import Figures, deployments_of, figures_of
from pipegraft.audit.usecases.audit_sources import Scene
from pipegraft.core.errors import UsageError

__all__ = ["delivery_figures"]


def delivery_figures(scene: Scene, environment: str | None, since: float | None, until: float) -> Figures:
    """The five figures.

    Arguments:
        environment: its name; the last one that is delivered to if None.
        since: the window's beginning, seconds since the epoch; the history's if None or earlier than that.
        until: its end.

    Raises:
        UsageError: there is no such environment, or nothing happened before the end of the window.
        Unreachable, AccessDenied: the IaC repository cannot be read.
    """
    book = next(scene.books(environment or _last(scene)))
    book.load()
    told = deployments_of(book)
    first = min((one.started for one in told[0]), default=None)
    if first is None or first >= until:
        raise UsageError(
            f"nothing was deployed to {book.environment} before the window ends: {book.path} names no digest",
            fix="name another environment with --env, or a later --until",
        )
    sources = scene.source.times(one.source for one in told[0])
    return figures_of(book.environment, told, sources, max(since or first, first), until)


def _last(scene: Scene) -> str | None:
    names = list(scene.environments)
    return "production" if "production" in names and not scene.order else names[-1] if names else None
