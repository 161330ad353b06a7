"""Processes that outlive whoever started them, and are never mistaken for others.

A process id alone proves nothing: the kernel hands it out again. It is kept together with the time
the process started. A new process waits for a word on a pipe before it becomes what it should be,
so that one whose starter dies before it is on record ends by itself.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MARK", "Child", "ProcessId", "end_process", "is_running", "signal_group", "spawn", "strays"]

MARK = "PIPEGRAFT_INSTANCE"
"""Environment variable that names the instance a process belongs to."""

_WAIT_FOR_WORD = 'IFS= read -r word || exit 125; cd -- "$0" && exec "$@" </dev/null'


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process of one boot of the machine.

    Arguments:
        pid: also the id of its process group and session.
        started: when, in the system's own words; only compared.
    """

    pid: int
    started: str


class Child:
    """A process started by this one, which waits to be let go.

    Arguments:
        id: which one it is.
        word: the end of the pipe it waits at.
    """

    def __init__(self, id: ProcessId, word: int) -> None:  # noqa: A002 - what it is
        self.id = id
        self._word: int | None = word
        self._exit_code: int | None = None

    def let_go(self) -> None:
        """Have it become the command; call once it is on record."""
        if self._word is not None:
            with contextlib.suppress(BrokenPipeError):  # it was killed meanwhile, which `exit_code` tells
                os.write(self._word, b"go\n")
            os.close(self._word)
            self._word = None

    def give_up(self) -> None:
        """Have it end without becoming anything, and wait for that."""
        if self._word is not None:
            os.close(self._word)
            self._word = None
        os.waitpid(self.id.pid, 0)

    def exit_code(self) -> int | None:
        """Exit status, negative for the number of the signal that ended it; None while it runs."""
        if self._exit_code is None:
            pid, status = os.waitpid(self.id.pid, os.WNOHANG)
            if pid:
                self._exit_code = os.waitstatus_to_exitcode(status)
        return self._exit_code


def spawn(command: Sequence[str], env: Mapping[str, str], folder: Path, log: Path) -> Child:
    """Prepare a process in a session of its own; it runs nothing until it is let go.

    Arguments:
        command: program and arguments; a program without a slash is looked up in `env`'s PATH.
        env: its whole environment.
        folder: its working folder.
        log: takes what it and the preparation print, appended.

    Raises:
        OSError: it could not be started.
    """
    reading, writing = os.pipe()
    try:
        pid = os.posix_spawn(
            "/bin/sh",
            ["/bin/sh", "-c", _WAIT_FOR_WORD, str(folder), *command],
            env,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, reading, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    started = _started(pid)
    if started is None:
        os.close(writing)
        os.waitpid(pid, 0)
        raise ProcessLookupError(f"process {pid} ended before it began")
    return Child(ProcessId(pid, started), writing)


def is_running(process: ProcessId) -> bool:
    """Whether this very process still runs; one that only waits to be reaped does not."""
    return _started(process.pid) == process.started


def signal_group(process: ProcessId, number: signal.Signals) -> None:
    """Signal the process and its descendants in its group, if it still runs."""
    if is_running(process):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def end_process(process: ProcessId) -> None:
    """Kill one process, if it still runs."""
    if is_running(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def strays(instance: str) -> Iterator[ProcessId]:
    """Processes of an instance wherever they went; on systems without ``/proc`` none are found."""
    wanted = f"{MARK}={instance}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                started = _started(int(folder.name))
                if started:
                    yield ProcessId(int(folder.name), started)


def _started(pid: int) -> str | None:
    """When a process started, None if it does not run."""
    return _started_linux(pid) if sys.platform == "linux" else _started_posix(pid)


def _started_linux(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()  # the command's name may hold anything: proc(5)
    state, start_ticks = fields[0], fields[19]
    return None if state in "ZX" else f"{_boot_id()}.{start_ticks}"


@functools.cache
def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def _started_posix(pid: int) -> str | None:
    answer = subprocess.run(
        ["ps", "-p", str(pid), "-o", "stat=,lstart="],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C", "PATH": "/bin:/usr/bin"},
    )
    state, _, started = answer.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()
