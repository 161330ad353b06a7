"""Looks at the IaC repository, beside the engine's loop so that a slow remote holds nothing up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pipegraft.domain.appspec import resolve
from pipegraft.domain.rendering.oam import render_application
from pipegraft.domain.resources.binding import Platform
from pipegraft.errors import OutsideError, PipegraftError, UsageError
from pipegraft.ports.iac import IacRepository
from pipegraft.usecases.engine.application import Desired

__all__ = ["Look", "Watcher"]


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found.

    Arguments:
        revision: the branch's newest commit; empty if the repository did not answer.
        specs: environment → its spec, or why it is refused.
        trouble: why the repository did not answer.
    """

    revision: str
    specs: Mapping[str, Desired | tuple[str, ...]]
    trouble: str = ""


class Watcher:
    """Looks every `interval` seconds, and at once when woken.

    Arguments:
        folder: the app's folder in a repository shared by several, empty for the root.
        environments: names of the environments to read.
        found: takes each look that differs from the one before.
        fetch: has an image at hand before the loop needs it.
        platform: what resources are provided by.
    """

    def __init__(
        self,
        repository: IacRepository,
        *,
        folder: str,
        environments: Sequence[str],
        interval: float,
        found: Callable[[Look], None],
        fetch: Callable[[str], object],
        platform: Platform,
    ) -> None:
        self._repository = repository
        self._folder = f"{folder}/" if folder else ""
        self._environments = environments
        self._interval = interval
        self._found = found
        self._fetch = fetch
        self._platform = platform
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
            self._prepare(look)
            self._found(look)

    def look(self) -> Look:
        """Look once; a commit that was read before is not read again."""
        try:
            tip = self._repository.tip()
            if self._last and self._last.revision == tip:
                return self._last
            return Look(tip, {name: self._read(name, tip) for name in self._environments})
        except PipegraftError as error:
            last = self._last or Look("", {})
            return Look("", last.specs, str(error))

    def _prepare(self, look: Look) -> None:
        """Have the images at hand; what cannot be fetched is told when it is needed."""
        specs = [spec for spec in look.specs.values() if isinstance(spec, Desired)]
        for workload in (workload for spec in specs for workload in spec.workloads):
            for image in workload.images:
                with suppress(PipegraftError):
                    self._fetch(image)

    def _read(self, environment: str, tip: str) -> Desired | tuple[str, ...]:
        app_file = f"{self._folder}app.yaml"
        file = f"{self._folder}environments/{environment}.yaml"
        try:
            app = self._text(app_file, tip)
            there = self._text(file, tip)
            resolved = resolve(
                app,
                there,
                environment,
                app_file=app_file,
                environment_file=file,
                platform=self._platform,
            )
            return Desired.read(tip, render_application(resolved, tip))
        except OutsideError:
            raise
        except PipegraftError as error:
            return tuple(str(problem) for problem in error.problems)

    def _text(self, path: str, tip: str) -> str:
        text = self._repository.read(path, tip)
        if text is None:
            raise UsageError(f"expected {path} in the repository, found nothing", fix="commit it")
        return text
