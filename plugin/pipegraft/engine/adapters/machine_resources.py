"""Keeps resources running on this machine, over restarts of the engine and of the servers themselves."""

from __future__ import annotations

import json
import secrets
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipegraft.appspec.resource_ports import HostedResource, HostedState
from pipegraft.core.adapters.files import write_atomically
from pipegraft.core.errors import OutsideError, UsageError
from pipegraft.engine.adapters.probing import ask, free_port
from pipegraft.engine.adapters.resource_drivers import DRIVERS, Running, Wanted
from pipegraft.engine.adapters.supervision import (
    MARK,
    Child,
    ProcessId,
    end_process,
    is_running,
    signal_group,
    spawn,
    strays,
)
from pipegraft.engine.ports import HealthProbe

__all__ = ["MachineResources"]

_RECORD = "resource.json"
_LOG = "server.log"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BACKOFF = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before the next start, by ends in a row that nobody asked for."""
_LOOPING = 3
_GRACE = 10.0
"""Seconds that a server has to end."""
_EVIDENCE = 10


@dataclass(frozen=True, slots=True)
class _Record:
    """What is on disk about a resource."""

    identity: str
    type: str
    secret: str
    params: Mapping[str, Any]
    port: int
    password: str
    process: ProcessId | None = None
    ending: float | None = None
    """When the process was told to end."""
    served: bool = False
    """Whether it was ever ready, so that its outputs can be used."""


class MachineResources:
    """Resources of this machine.

    Arguments:
        folder: ``NAMESPACE/NAME`` for the files of each; made if absent.
        outputs: gets ``SECRET/OUTPUT`` files, readable by their owner alone; made if absent.
        clock: seconds since the epoch.
    """

    def __init__(self, folder: Path, outputs: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._outputs = outputs
        self._clock = clock
        for path in (folder, outputs):
            path.mkdir(parents=True, exist_ok=True)
        outputs.chmod(0o700)
        self._known = {
            (path.parent.parent.name, path.parent.name): _Server(path.parent, outputs, clock)
            for path in sorted(folder.glob(f"*/*/{_RECORD}"))
            if path.stat().st_size  # an empty one is left of a start that never was
        }

    def ensure(
        self, resources: Sequence[HostedResource], *, end_others: bool
    ) -> Mapping[tuple[str, str], HostedState]:
        wanted = {(one.namespace, one.name): one for one in resources}
        for key, server in self._known.items():
            if end_others and key not in wanted:
                server.end()
        taken = {server.port for server in self._known.values()}
        for key in wanted.keys() - self._known.keys():
            home = self._folder / key[0] / key[1]
            home.mkdir(parents=True, exist_ok=True)
            self._known[key] = _Server(home, self._outputs, self._clock, free_port(taken))
            taken.add(self._known[key].port)
        return {key: self._known[key].advance(one) for key, one in wanted.items()}

    def end(self) -> None:
        while any([server.end() for server in self._known.values()]):  # noqa: C419 - each must be told
            time.sleep(0.05)


class _Server:
    """One resource and its process, if it has one."""

    def __init__(self, home: Path, outputs: Path, clock: Callable[[], float], port: int = 0) -> None:
        self._home = home
        self._outputs = outputs
        self._clock = clock
        self._child: Child | None = None
        self._ends = 0
        self._next_start = 0.0
        self._ready = False
        self._record = _load(home / _RECORD) or _Record("", "", "", {}, port, secrets.token_urlsafe(24))

    @property
    def port(self) -> int:
        return self._record.port

    def advance(self, wanted: HostedResource) -> HostedState:
        """One step towards what is wanted."""
        declared = replace(
            self._record,
            identity=wanted.identity,
            type=wanted.type,
            secret=wanted.secret,
            params=dict(wanted.params),
        )
        if self._record.identity and declared.type != self._record.type:
            holds = f"{self._home} holds a {self._record.type}"
            return self._state(f"{holds}; move it away, or rename the resource", failed=True)
        if declared != self._record:
            self._ready = False
        if self._record.ending is not None or (declared != self._record and self._record.process):
            if self.end():
                return self._state("ending, to start with other parameters")
            declared = replace(declared, process=None, ending=None)
        self._record = declared
        try:
            return self._run()
        except UsageError as error:
            return self._state(_sentence(error), failed=True)
        except (OSError, OutsideError) as error:
            return self._state(f"cannot start: {error}")

    def end(self) -> bool:
        """Have the process end; whether something of it is left."""
        process, now = self._record.process, self._clock()
        if process is None:
            return False
        self._ready = False
        if not self._runs(process):
            left = list(strays(self._mark))
            for stray in left:
                end_process(stray)
            if not left:
                self._save(replace(self._record, process=None, ending=None))
                self._child = None
            return bool(left)
        if self._record.ending is None:
            self._save(replace(self._record, ending=now))
            signal_group(process, signal.SIGINT)  # PostgreSQL's fast shutdown, Redis's ordinary one
        elif now >= self._record.ending + _GRACE:
            signal_group(process, signal.SIGKILL)
        return True

    def _run(self) -> HostedState:
        record = self._record
        if record.process and self._runs(record.process):
            return self._health()
        if record.process:  # it ended, and nobody asked for it
            self._ends += 1
            self._ready = False
            self._next_start = self._clock() + _BACKOFF[min(self._ends, len(_BACKOFF)) - 1]
            self._save(replace(record, process=None))
            self._child = None
        if self._clock() < self._next_start:
            return self._state(f"ended {self._ends} times in a row", failed=self._ends >= _LOOPING)
        if self._ready:  # files alone
            return self._state("ready")
        running = DRIVERS[record.type](Wanted(self._home, record.port, record.password, record.params))
        self._tell(running)
        if running.words:
            self._start(running)
            return self._state("starting")
        self._serve()
        return self._state("ready")

    def _start(self, running: Running) -> None:
        env = {"PATH": _PATH, **(running.env or {}), MARK: self._mark}
        child = spawn(running.words, env, self._home, self._home / _LOG)
        try:
            self._save(replace(self._record, process=child.id))
        except BaseException:
            child.give_up()
            raise
        self._child = child
        child.let_go()

    def _health(self) -> HostedState:
        if not self._ready:
            answer = ask(HealthProbe(self.port, timeout=0.5), self.port)
            if answer:
                return self._state(f"starting: {answer}", failed=self._ends >= _LOOPING)
            self._serve()
        return self._state(f"listens on port {self.port}")

    def _serve(self) -> None:
        self._ready = True
        self._ends = 0
        if not self._record.served:
            self._save(replace(self._record, served=True))

    def _state(self, message: str, *, failed: bool = False) -> HostedState:
        evidence = () if self._ready else self._tail()
        return HostedState(self._ready, self._record.served, message, failed, evidence)

    def _tell(self, running: Running) -> None:
        """Write the outputs where references are looked up."""
        folder = self._outputs / self._record.secret
        folder.mkdir(mode=0o700, exist_ok=True)
        for name, value in running.outputs.items():
            path = folder / name
            path.touch(mode=0o600)
            write_atomically(path, value.encode())

    def _runs(self, process: ProcessId) -> bool:
        return self._child.exit_code() is None if self._child else is_running(process)

    @property
    def _mark(self) -> str:
        return f"resource:{self._home}"

    def _save(self, record: _Record) -> None:
        path = self._home / _RECORD
        path.touch(mode=0o600)
        write_atomically(path, json.dumps(asdict(record), indent=1).encode())
        self._record = record

    def _tail(self) -> tuple[str, ...]:
        try:
            text = (self._home / _LOG).read_text("utf-8", "replace")
        except OSError:
            return ()
        return tuple(text.splitlines()[-_EVIDENCE:])


def _load(path: Path) -> _Record | None:
    try:
        if not (text := path.read_bytes()):
            return None
        data = json.loads(text)
        process = data.pop("process")
        return _Record(**data, process=process and ProcessId(**process))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise OutsideError(
            f"expected the record of a resource in {path}: {error!r}",
            fix=f"end the processes that have {MARK}=resource:{path.parent}, then remove the file",
        ) from error


def _sentence(error: UsageError) -> str:
    fix = error.problem.fix
    return f"{error.problem.message}; {fix}" if fix else error.problem.message
