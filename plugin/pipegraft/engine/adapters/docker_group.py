"""One instance: containers that start, live and end together, and the up-to-date view of them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from pipegraft.core.errors import OutsideError, PipegraftError, Unreachable
from pipegraft.engine.adapters.docker_plan import Changes, ContainerEngine, ContainerState, GroupRecord
from pipegraft.engine.adapters.probing import Probes
from pipegraft.engine.ports import Instance, Phase

__all__ = ["Group", "Seen", "Watch"]


_LOG_LINES = 10
_AGAIN = 2.0
"""Seconds after which is looked again where nothing is told."""
_SETTLED = 0.1
"""Seconds after a change before another look: an engine tells of an end before its list shows it."""
_PAUSE = 0.5
"""Seconds before the engine is asked again after it did not answer."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at all containers.

    Arguments:
        number: rises with each look.
        states: container → how it was.
    """

    number: int
    states: Mapping[str, ContainerState]


class Looks(Protocol):
    """Who looks at the containers."""

    @property
    def begun(self) -> int:
        """Number of the look that began last."""

    def wake(self) -> None:
        """Look again."""


class Group:
    """Follows one instance; whatever takes time is a job beside the caller.

    Arguments:
        work: runs the jobs.
        watch: who looks.
        start: creates and starts the containers; None for an adopted instance.
        well: whether it is known to be ready.
    """

    def __init__(
        self,
        record: GroupRecord,
        engine: ContainerEngine,
        clock: Callable[[], float],
        work: ThreadPoolExecutor,
        watch: Looks,
        *,
        start: Callable[[], None] | None = None,
        well: bool = False,
    ) -> None:
        self.record = record
        self._engine = engine
        self._clock = clock
        self._work = work
        self._watch = watch
        self._phase = Phase.READY if well else Phase.STARTING
        self._since = clock() if well else record.started
        self._reason = ""
        self._evidence: tuple[str, ...] = ()
        self._probes: Probes | None = None
        self._stopping = self._terminated = 0.0
        self._drain = 0.0
        self._told: set[str] = set()
        self._job: Future[None] | None = None
        self._known = -1
        self._removing = False
        self.gone = False
        """Whether it was told to stop and nothing of it is left."""
        if start is not None:
            self._do(start)

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._phase is Phase.STOPPING

    def describe(self) -> Instance:
        """What is known of it now."""
        record = self.record
        return Instance(
            record.id,
            record.application,
            record.workload,
            record.template,
            self._phase,
            self._since,
            {declared: f"127.0.0.1:{published}" for declared, published in record.ports.items()},
            self._reason,
            self._evidence,
        )

    def stop(self, drain: float) -> None:
        """Begin to end it; a ready one goes on for `drain` seconds first."""
        if self._phase is not Phase.STOPPING:
            self._drain = drain if self._phase is Phase.READY else 0.0
            self._stopping = self._clock()
            self._enter(Phase.STOPPING, "told to stop")

    def advance(self, seen: Seen, probing: ThreadPoolExecutor) -> None:
        """Go on from what was seen of its containers."""
        if self._job is not None:
            if not self._job.done():
                return
            self._take(self._job)
        if self.gone or seen.number <= self._known:
            return  # nobody has looked since the last job ended
        if self._phase is Phase.STOPPING:
            self._end(seen)
        elif self._phase is not Phase.FAILED:
            self._follow(seen, probing)

    def _do(self, job: Callable[[], None]) -> None:
        def whole() -> None:
            try:
                job()
            finally:
                self._known = self._watch.begun
                self._watch.wake()

        self._job = self._work.submit(whole)

    def _take(self, job: Future[None]) -> None:
        self._job = None
        try:
            job.result()
        except PipegraftError as error:
            if self._phase is Phase.STARTING:
                self._enter(Phase.FAILED, f"{self.record.workload} cannot be started: {error}")
            self._removing = False  # it is done again
        else:
            self.gone = self._removing

    def _follow(self, seen: Seen, probing: ThreadPoolExecutor) -> None:
        for member in self.record.members:
            state = seen.states.get(self.record.container(member.name))
            if state is None:
                return self._fail(member.name, "was removed by somebody else")
            if not state.running:
                return self._fail(member.name, self._ending(member.name))
        self._probe(probing)
        return None

    def _probe(self, probing: ThreadPoolExecutor) -> None:
        now = self._clock()
        if self._probes is None:  # its containers have just been started, or found
            well = self._phase is Phase.READY
            self._probes = Probes(self.record.members, self.record.ports, now, well=well)
        self._probes.advance(now, probing)
        dead, unready = self._probes.dead, self._probes.unready
        if dead:
            self._fail(*dead)
        elif unready is not None:
            self._reason = unready
            if self._phase is Phase.READY:
                self._enter(Phase.UNREADY, unready)
        elif self._phase is not Phase.READY and self._probes.old_enough(now):
            self._enter(Phase.READY, "")

    def _enter(self, phase: Phase, reason: str) -> None:
        self._phase, self._reason, self._since = phase, reason, self._clock()

    def _fail(self, member: str, what: str) -> None:
        with suppress(PipegraftError):  # it may be gone with its log
            self._evidence = self._engine.log(self.record.container(member), _LOG_LINES)
        self._enter(Phase.FAILED, f"{member} of {self.record.id} {what}")

    def _ending(self, member: str) -> str:
        try:
            ending = self._engine.ending(self.record.container(member))
        except PipegraftError:
            ending = None
        if ending is None:
            return "ended"
        if ending.out_of_memory:
            return "was killed: it used more memory than its limit"
        if ending.error:
            return f"could not run: {ending.error}"
        return f"ended with exit status {ending.exit_code}{_signal_name(ending.exit_code)}"

    def _end(self, seen: Seen) -> None:
        """One step towards its end: after the drain SIGTERM, after the grace SIGKILL, then removal.

        Containers that start before the main one are told when the others have ended, as in a pod.
        """
        now = self._clock()
        first = {self.record.container(one.name) for one in self.record.members if one.first}
        names = [self.record.container(one) for one in self._all]
        running = [name for name in names if name in seen.states and seen.states[name].running]
        told = [name for name in running if name not in first] or running
        if not running:
            self._removing = True
            self._do(self._remove)
        elif self._terminated and now >= self._terminated + self.record.grace:
            self._do(lambda: _each(self._engine.kill, running))
        elif now >= self._stopping + self._drain and not set(told) <= self._told:
            self._terminated = self._terminated or now
            self._told |= set(told)
            self._do(lambda: _each(self._engine.terminate, told))

    @property
    def _all(self) -> list[str]:
        return [*self.record.fillers, *(one.name for one in self.record.members)]

    def _remove(self) -> None:
        for name in reversed(self._all):
            self._engine.remove(self.record.container(name))
        for volume in self.record.volumes:
            self._engine.remove_volume(volume)


def _signal_name(code: int) -> str:
    with suppress(ValueError):
        return f" ({signal.Signals(code - 128).name})" if code > 128 else ""
    return ""


def _each(action: Callable[[str], None], names: list[str]) -> None:
    for name in names:
        action(name)


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
