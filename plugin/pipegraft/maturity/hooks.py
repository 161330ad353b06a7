"""The hook that signals of maturity come by."""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from collections.abc import Iterable

from pipegraft.core.plugins import Kind, hookspec
from pipegraft.maturity.model import Signal

__all__ = ["MATURITY_SIGNALS"]

MATURITY_SIGNALS = Kind("pipegraft_maturity_signals", Signal, "maturity signal")


@hookspec
def pipegraft_maturity_signals() -> Iterable[Signal]:
    """What `pipegraft assess` looks for in a repository. Called once, when it runs.

    Example::

        def on_call(repository):
            found = repository.find("on-call.md")
            return yes("it is there", Evidence(Place(found[0], 1))) if found else no("nobody is on call")

        @hookimpl
        def pipegraft_maturity_signals():
            yield Signal(
                name="on-call",
                dimension=Dimension.RUNTIME,
                stage=4,
                claim="somebody is on call",
                look=on_call,
                step="write on-call.md",
            )

    Returns:
        Signals, each with a name no other plugin uses.
    """
