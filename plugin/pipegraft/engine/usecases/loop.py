"""The engine's loop: look, decide, act, report, and again; a slow remote or a full disk holds nothing up."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipegraft.appspec.spec import read_app
from pipegraft.core.errors import OutsideError, PipegraftError, Unreachable, UsageError
from pipegraft.engine.adapters.server import Push
from pipegraft.engine.reconcile import Health
from pipegraft.engine.usecases.application import (
    Application,
    Desired,
    Operator,
    Place,
    Reader,
    Refused,
    Source,
    States,
    Turn,
)
from pipegraft.gate.conditions import same_repository

__all__ = ["DISK_FIX", "Engine", "Look", "Watcher", "disk_trouble", "needing_disk"]

_OF_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
DISK_FIX = "free some space; what runs goes on, and writing is tried again"
_TURN = 0.1
"""Seconds between two turns when nothing wakes the loop."""


def disk_trouble(error: OSError) -> str:
    """What is wrong with the disk, in one sentence.

    Raises:
        OSError: the same one, if it is about something else.
    """
    if error.errno not in _OF_DISK:
        raise error
    return f"the state cannot be written: {error.strerror}"


@contextmanager
def needing_disk(state: Path) -> Iterator[None]:
    """Nothing can begin without a place to write.

    Raises:
        OutsideError: in place of an OSError of the disk.
    """
    try:
        yield
    except OSError as error:
        raise OutsideError(
            f"{disk_trouble(error)}, in {state}", fix="free some space, then start the engine again"
        ) from error


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

    def join(self, seconds: float) -> None:
        """Wait for the look under way; one that takes longer finds its repository closed."""
        self._thread.join(seconds)

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


class Engine:
    """Keeps applications as their repositories declare them.

    Arguments:
        poll: seconds between two looks at a repository.
        report: takes one line for people on everything that changes.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        operator: Operator,
        states: States,
        *,
        poll: float = 1.0,
        report: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._operator = operator
        self._states = states
        self._report = report
        self._applications = {
            place: states.load(place, operator) for source in sources for place in source.places
        }
        self._unsaved: set[Place] = set()
        self._turns: Sequence[Turn] = ()
        self._looks: list[Look] = []
        self._unreachable: dict[str, str] = {}
        self._said: dict[str, str] = {}
        self._statuses: Mapping[str, dict[str, Any]] = {}
        self._news = threading.Condition()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self.watchers = [Watcher(source, poll, operator, self.take) for source in sources]

    def run(self) -> None:
        """Work until `stop` is called."""
        for watcher in self.watchers:
            watcher.start()
        while not self._stopping.is_set():
            for watcher in self.watchers:
                if watcher.defect is not None:
                    raise watcher.defect
            self.turn()
            self._wake.wait(_TURN)
            self._wake.clear()
        for watcher in self.watchers:
            watcher.stop()
        for watcher in self.watchers:
            watcher.join(_TURN)

    def stop(self) -> None:
        """Leave the loop after the current turn; what runs goes on running."""
        self._stopping.set()
        self._wake.set()

    def sync(self, push: Push | None = None) -> Sequence[str]:
        """Have repositories looked at without waiting for the next poll.

        Arguments:
            push: what was pushed, None for all of them.

        Returns:
            Names of those that are looked at.
        """
        chosen = [one for one in self.watchers if push is None or _is_pushed(one.source, push)]
        for watcher in chosen:
            watcher.wake()
        return [watcher.source.name for watcher in chosen]

    def status(self, name: str) -> dict[str, Any]:
        """What is known of an application.

        Raises:
            UsageError: there is none of that name.
            Unreachable: not every spec could be read yet, so nobody knows.
        """
        statuses = self._statuses
        if name in statuses:
            return statuses[name]
        unknown = [one for one in statuses.values() if not one["application"]]
        if len(unknown) == 1 and name.endswith(f"-{unknown[0]['environment']}"):
            return unknown[0]  # its spec was never good, so nothing says what the app is called
        if not statuses or any(not one["revision"]["observed"] for one in unknown):
            raise Unreachable("the engine has just started and has not read every application yet")
        raise UsageError(f"no application '{name}'; there are: {', '.join(sorted(statuses))}")

    def names(self) -> Sequence[str]:
        """The applications known so far."""
        return sorted(self._statuses)

    def wait(self, seconds: float) -> None:
        """Return when the status of an application has changed, after `seconds` at the latest."""
        with self._news:
            self._news.wait(seconds)

    def take(self, look: Look) -> None:
        """Have the next turn act on what a look found; may be called from any thread."""
        self._looks.append(look)  # appending and popping are atomic; the loop takes from the front
        self._wake.set()

    def turn(self) -> None:
        """Take what the watchers found and bring every application one step further."""
        while self._looks:
            self._adopt(self._looks.pop(0))
        before = list(self._applications.values())
        try:
            turns = self._operator.turn(before)
        except OSError as error:  # the same is decided again, once there is space
            self._tell(self._turns, disk_trouble(error))
            return
        for old, turn in zip(before, turns, strict=True):
            if turn.application != old:
                self._unsaved.add(old.place)
            self._applications[old.place] = turn.application
        self._turns = turns
        self._tell(turns, self._save())

    def _save(self) -> str:
        """Keep what has changed; answers why that cannot be done now."""
        try:
            for place in list(self._unsaved):
                self._states.save(self._applications[place])
                self._unsaved.discard(place)
        except OSError as error:
            return disk_trouble(error)
        return ""

    def _adopt(self, look: Look) -> None:
        self._unreachable[look.source] = look.trouble
        if not look.revision:
            return
        for place, spec in look.specs.items():
            application = self._applications[place]
            changed = _changed(application, look.revision, self._unless_taken(application, spec))
            self._applications[place] = changed
            self._unsaved.add(place)

    def _unless_taken(self, application: Application, spec: Desired | Refused) -> Desired | Refused:
        """A name belongs to whoever had it first."""
        for other in self._applications.values():
            if other.place != application.place and other.name and other.name == spec.name:
                what = f"'{spec.name}' is declared by {other.place}, too"
                return Refused((f"{what}\n    fix: give one of them another 'app' name",))
        return spec

    def _tell(self, turns: Sequence[Turn], disk: str) -> None:
        full = [f"{disk}\n    fix: {DISK_FIX}"] if disk else []
        statuses = {}
        for turn in turns:
            name = turn.application.label
            lost = self._unreachable.get(turn.application.place.source)
            trouble = [*full, *([lost] if lost else []), *turn.status["trouble"]]
            status = {**turn.status, "trouble": trouble}
            statuses[name] = status
            said = "; ".join((f"{status['sync']}, {status['health']}: {status['message']}", *trouble))
            if self._said.get(name) != said:
                self._said[name] = said
                self._report(f"{name}: {said}")
            if status["health"] == Health.HEALTHY:
                self._tell_entrances(name, status["entrances"])
        with self._news:
            changed = statuses != self._statuses
            self._statuses = statuses
            if changed:
                self._news.notify_all()

    def _tell_entrances(self, application: str, entrances: Mapping[str, str]) -> None:
        for entrance, address in entrances.items():
            key, said = f"{application}/{entrance}", f"{entrance} answers at {address}"
            if self._said.get(key) != said:
                self._said[key] = said
                self._report(f"{application}: {said}")


def _is_pushed(source: Source, push: Push) -> bool:
    return source.branch == push.branch and any(same_repository(source.url, url) for url in push.urls)


def _changed(application: Application, revision: str, spec: Desired | Refused) -> Application:
    name = spec.name or application.name
    if isinstance(spec, Refused):
        return replace(application, name=application.name or name, observed=revision, problems=spec.problems)
    return replace(application, name=name, observed=revision, problems=(), desired=spec)
