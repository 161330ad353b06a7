"""Keeps an up-to-date view of the containers, so that nobody waits for the container engine's answer."""

from __future__ import annotations

import threading
from contextlib import suppress

from pipegraft.core.errors import OutsideError, PipegraftError, Unreachable
from pipegraft.engine.adapters.runtime.docker.containers import Changes, ContainerEngine
from pipegraft.engine.adapters.runtime.docker.group import Seen

__all__ = ["Watch"]

_AGAIN = 2.0
"""Seconds after which is looked again where nothing is told."""
_SETTLED = 0.1
"""Seconds after a change before another look: an engine tells of an end before its list shows it."""
_PAUSE = 0.5
"""Seconds before the engine is asked again after it did not answer."""


class Watch:
    """Looks at once when the engine tells of a change, or when woken.

    Arguments:
        owner: whose containers.
    """

    def __init__(self, engine: ContainerEngine, owner: str) -> None:
        self._engine = engine
        self._owner = owner
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._seen = Seen(-1, {})
        self._trouble: OutsideError | None = None
        self._changes: Changes | None = None
        self.begun = -1
        """Number of the look that began last."""
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in ((self._look, "containers"), (self._listen, "container-events"))
        ]

    def open(self) -> Seen:
        """Look for the first time, then go on beside the caller.

        Raises:
            OutsideError: the engine does not answer.
        """
        self._seen = self._once()
        for thread in self._threads:
            thread.start()
        return self._seen

    def close(self) -> None:
        """Look no more."""
        self._closed.set()
        self._wake.set()
        if self._changes is not None:
            self._changes.close()
        for thread in self._threads:
            thread.join(_AGAIN)

    def wake(self) -> None:
        """Look again."""
        self._wake.set()

    def seen(self) -> Seen:
        """What was seen last.

        Raises:
            OutsideError: the engine does not answer now.
        """
        if self._trouble is not None:
            raise self._trouble
        return self._seen

    def _once(self) -> Seen:
        self.begun += 1
        number = self.begun
        return Seen(number, {state.name: state for state in self._engine.containers(self._owner)})

    def _look(self) -> None:
        pause = _AGAIN
        while not self._closed.is_set():
            try:
                self._seen = self._once()
                self._trouble = None
            except PipegraftError as error:
                self._trouble = error if isinstance(error, OutsideError) else Unreachable(str(error))
                self._closed.wait(_PAUSE)
                continue
            pause = _SETTLED if self._wake.wait(pause) else _AGAIN
            self._wake.clear()

    def _listen(self) -> None:
        while not self._closed.is_set():
            with suppress(PipegraftError):  # looking finds the same, and says so
                self._changes = self._engine.changes(self._owner)
                self._wake.set()  # something may have happened before
                for _ in self._changes:
                    self._wake.set()
            self._closed.wait(_PAUSE)
