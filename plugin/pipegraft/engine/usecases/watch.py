"""Looks at one IaC repository, beside the engine's loop so that a slow remote holds nothing up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from pipegraft.appspec.spec import read_app
from pipegraft.core.errors import OutsideError, PipegraftError, UsageError
from pipegraft.engine.usecases.app_sources import Place, Source
from pipegraft.engine.usecases.application import Desired, Reader, Refused

__all__ = ["Look", "Watcher"]


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a repository found.

    Arguments:
        source: which repository.
        revision: the branch's newest commit; empty if the repository did not answer.
        specs: place → its spec, or why it is refused.
        trouble: why the repository did not answer.
    """

    source: str
    revision: str
    specs: Mapping[Place, Desired | Refused]
    trouble: str = ""


class Watcher:
    """Looks every `interval` seconds, and at once when woken.

    Arguments:
        reader: says what a spec means.
        found: takes each look that differs from the one before.
    """

    def __init__(
        self, source: Source, interval: float, reader: Reader, found: Callable[[Look], None]
    ) -> None:
        self.source = source
        self._interval = interval
        self._reader = reader
        self._found = found
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._last: Look | None = None
        self.defect: Exception | None = None
        """What ended the looking for good."""
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self._wake.set()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                self._look_and_tell()
                self._wake.wait(self._interval)
                self._wake.clear()
        except Exception as error:  # noqa: BLE001 - a defect: the loop raises it, or nobody would look any more
            self.defect = error

    def _look_and_tell(self) -> None:
        look = self.look()
        if look != self._last:
            self._last = look
            self._found(look)

    def look(self) -> Look:
        """Look once; a commit that was read before is not read again."""
        name = self.source.name
        try:
            tip = self.source.repository.tip()
            if self._last and self._last.revision == tip:
                return self._last
            return Look(name, tip, {place: self._read(place, tip) for place in self.source.places})
        except PipegraftError as error:
            return Look(name, "", self._last.specs if self._last else {}, str(error))

    def _read(self, place: Place, tip: str) -> Desired | Refused:
        folder = f"{place.folder}/" if place.folder else ""
        app = ""
        try:
            app = self._text(f"{folder}app.yaml", tip)
            there = self._text(f"{folder}environments/{place.environment}.yaml", tip)
            return Desired.read(tip, (app, there), place, self._reader)
        except OutsideError:
            raise
        except PipegraftError as error:
            problems = tuple(str(problem) for problem in error.problems)
            return Refused(problems, _name(app, place.environment))

    def _text(self, path: str, tip: str) -> str:
        text = self.source.repository.read(path, tip)
        if text is None:
            raise UsageError(f"expected {path} in the repository, found nothing", fix="commit it")
        return text


def _name(app: str, environment: str) -> str:
    """Name of the application, if its ``app.yaml`` can be read as far as that."""
    with suppress(PipegraftError):
        return f"{read_app(app).app.app}-{environment}"
    return ""
