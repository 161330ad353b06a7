"""One instance of the process runtime: watched from start to end."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pipegraft.engine.adapters.runtime.probing import Probes
from pipegraft.engine.adapters.runtime.records import ContainerRecord, InstanceRecord, Records
from pipegraft.engine.adapters.runtime.supervision import Child, end_process, is_running, signal_group, strays
from pipegraft.engine.ports import Instance, Phase

__all__ = ["RunningInstance"]

_LONGEST_LOG = 8 << 20
_LOG_LINES = 10
_LOG_BYTES = 8192


class RunningInstance:
    """Follows the processes of one instance.

    Arguments:
        record: as it is on disk.
        children: its processes, in the order of the containers; none for an adopted instance.
    """

    def __init__(
        self,
        record: InstanceRecord,
        records: Records,
        clock: Callable[[], float],
        children: Sequence[Child] = (),
    ) -> None:
        self.record = record
        self._records = records
        self._clock = clock
        self._children = {
            container.name: child for container, child in zip(record.containers, children, strict=False)
        }
        well = record.phase is Phase.READY
        self._probes = Probes(record.containers, record.ports, record.started, well=well)
        self._reason = ""
        self._evidence: tuple[str, ...] = ()
        self.gone = False
        """Whether it was told to stop and nothing of it is left."""

    def log(self, container: str) -> Path:
        """File that takes what a container prints."""
        return self._records.folder(self.record.id) / f"{container}.log"

    def describe(self) -> Instance:
        """What is known of it now."""
        record = self.record
        return Instance(
            record.id,
            record.application,
            record.workload,
            record.template,
            record.phase,
            record.since,
            {declared: f"127.0.0.1:{actual}" for declared, actual in record.ports.items()},
            self._reason,
            self._evidence,
        )

    def stop(self, drain: float) -> None:
        """Begin to end it; a ready one goes on for `drain` seconds first."""
        if self.record.stopping is None:
            wait = drain if self.record.phase is Phase.READY else 0.0
            self._enter(Phase.STOPPING, "told to stop", stopping=self._clock(), drain=wait)

    def advance(self, pool: ThreadPoolExecutor) -> None:
        """Look at its processes and probes once."""
        ended = [container for container in self.record.containers if not self._runs(container)]
        for container in self.record.containers:
            _keep_short(self.log(container.name))
        if self.record.stopping is not None:
            self._end(ended, self.record.stopping)
        elif self.record.phase is not Phase.FAILED:
            if ended:
                self._fail(ended[0].name, self._exit_words(ended[0]))
            else:
                self._probe(pool)

    def _runs(self, container: ContainerRecord) -> bool:
        child = self._children.get(container.name)
        return child.exit_code() is None if child else is_running(container.process)

    def _probe(self, pool: ThreadPoolExecutor) -> None:
        now = self._clock()
        self._probes.advance(now, pool)
        dead, unready = self._probes.dead, self._probes.unready
        if dead:
            self._fail(*dead)
        elif unready is not None:
            phase = Phase.STARTING if self.record.phase is Phase.STARTING else Phase.UNREADY
            self._reason = unready
            if phase is not self.record.phase:
                self._enter(phase, unready)
        elif self.record.phase is not Phase.READY and self._probes.old_enough(now):
            self._enter(Phase.READY, "")

    def _enter(self, phase: Phase, reason: str, **changes: float) -> None:
        self._reason = reason
        self.record = replace(self.record, phase=phase, since=self._clock(), **changes)  # type: ignore[arg-type] # names of float fields
        self._records.save(self.record)

    def _fail(self, container: str, what: str) -> None:
        self._evidence = _tail(self.log(container))
        self._enter(Phase.FAILED, f"{container} of {self.record.id} {what}")

    def _exit_words(self, container: ContainerRecord) -> str:
        child = self._children.get(container.name)
        code = child.exit_code() if child else None
        if code is None:
            return "ended; it was started by an earlier engine, so its exit status is unknown"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"

    def _end(self, ended: Sequence[ContainerRecord], since: float) -> None:
        """One step towards its end: after the drain SIGTERM, after the grace SIGKILL, then what strayed."""
        now = self._clock()
        if len(ended) == len(self.record.containers):
            left = list(strays(self.record.id))
            for process in left:
                end_process(process)
            self.gone = not left
        elif self.record.terminated is None:
            if now >= since + self.record.drain:
                self._signal(signal.SIGTERM)
                self.record = replace(self.record, terminated=now)
                self._records.save(self.record)
        elif now >= self.record.terminated + self.record.grace:
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for container in self.record.containers:
            if self._runs(container):
                signal_group(container.process, number)


def _keep_short(log: Path) -> None:
    """Move a log that has grown long to ``….1``; what is printed in this very moment may be lost."""
    with suppress(FileNotFoundError):
        if log.stat().st_size > _LONGEST_LOG:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)  # its writers append, so they go on at the beginning


def _tail(log: Path) -> tuple[str, ...]:
    """The last lines a container printed."""
    try:
        with log.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - _LOG_BYTES))
            return tuple(stream.read().decode("utf-8", "replace").splitlines()[-_LOG_LINES:])
    except FileNotFoundError:
        return ()
