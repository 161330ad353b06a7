"""One instance of the process runtime: watched from start to end, and on record for the next engine."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipegraft.core.adapters.files import write_atomically
from pipegraft.core.errors import OutsideError
from pipegraft.engine.adapters.probing import Probes
from pipegraft.engine.adapters.supervision import (
    Child,
    ProcessId,
    end_process,
    is_running,
    signal_group,
    strays,
)
from pipegraft.engine.ports import HealthProbe, Instance, Phase

__all__ = ["ContainerRecord", "InstanceRecord", "Records", "RunningInstance"]


_FILE = "instance.json"
_LONGEST_LOG = 8 << 20
_LOG_LINES = 10
_LOG_BYTES = 8192


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """One process of an instance."""

    name: str
    process: ProcessId
    readiness: HealthProbe | None = None
    liveness: HealthProbe | None = None
    startup: HealthProbe | None = None


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """An instance on disk.

    Arguments:
        images: references that its files come from.
        ports: declared port → the one it listens on.
        stopping: when it was told to stop.
        terminated: when it got SIGTERM.
    """

    id: str
    application: str
    workload: str
    template: str
    images: tuple[str, ...]
    grace: float
    ports: dict[int, int]
    containers: tuple[ContainerRecord, ...]
    started: float
    phase: Phase = Phase.STARTING
    since: float = 0.0
    drain: float = 0.0
    stopping: float | None = None
    terminated: float | None = None


class Records:
    """A folder of instances, one folder each: its record and its logs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def folder(self, instance: str) -> Path:
        """Where the instance's files are; made if absent."""
        folder = self._folder / instance
        folder.mkdir(exist_ok=True)
        return folder

    def load(self) -> Iterator[InstanceRecord]:
        """Every instance on record. A folder without a record is left over from a start that never was."""
        for folder in sorted(self._folder.iterdir()):
            try:
                yield _parse(json.loads((folder / _FILE).read_text("utf-8")))
            except FileNotFoundError:
                shutil.rmtree(folder, ignore_errors=True)
            except (ValueError, KeyError, TypeError) as error:
                raise OutsideError(
                    f"expected the record of an instance in {folder / _FILE}: {error!r}",
                    fix=f"end the processes that have PIPEGRAFT_INSTANCE={folder.name}, then remove it",
                ) from error

    def save(self, record: InstanceRecord) -> None:
        """Put it on record, whole or not at all."""
        content = json.dumps(dataclasses.asdict(record), indent=1)
        write_atomically(self.folder(record.id) / _FILE, content.encode())

    def remove(self, instance: str) -> None:
        """Forget an instance; the record goes first."""
        (self._folder / instance / _FILE).unlink(missing_ok=True)
        shutil.rmtree(self._folder / instance, ignore_errors=True)


def _parse(data: dict[str, Any]) -> InstanceRecord:
    containers = tuple(
        ContainerRecord(
            entry["name"],
            ProcessId(**entry["process"]),
            HealthProbe(**entry["readiness"]) if entry["readiness"] else None,
            HealthProbe(**entry["liveness"]) if entry["liveness"] else None,
            HealthProbe(**entry["startup"]) if entry.get("startup") else None,
        )
        for entry in data["containers"]
    )
    ports = {int(declared): actual for declared, actual in data["ports"].items()}
    values = {"containers": containers, "ports": ports, "images": tuple(data["images"])}
    return InstanceRecord(**{**data, **values, "phase": Phase(data["phase"])})


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
