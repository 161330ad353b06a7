"""A program that is talked to over pipes: its answers have a deadline, and its complaints are kept."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import IO

__all__ = ["Pipe", "Silent"]


class Silent(Exception):
    """The conversation broke off; the message is what the program complained about."""


class Pipe:
    """A running program.

    Arguments:
        command: what to run.
        environment: its whole environment.
        timeout: seconds one answer may take.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], *, timeout: float) -> None:
        self._timeout = timeout
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env=environment
        )
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101
        self._input = self._process.stdin
        self._output = self._process.stdout
        self.close = weakref.finalize(self, _stop, self._process, self._errors)
        """End the program."""

    def read(self, size: int) -> bytes:
        """The next bytes of an answer, exactly so many."""
        content = self._output.read(size)
        if len(content) < size:
            raise Silent(self._complaint())
        return content

    def read_line(self) -> bytes:
        """The next line of an answer, with its end."""
        line = self._output.readline()
        if not line:
            raise Silent(self._complaint())
        return line

    def send(self, content: bytes) -> None:
        """Say something."""
        try:
            self._input.write(content)
            self._input.flush()
        except BrokenPipeError:
            raise Silent(self._complaint()) from None

    def watched(self) -> _Watchdog:
        """While the block runs, an answer is awaited; what takes too long ends in `Silent`."""
        return _Watchdog(self._process, self._timeout)

    def complaints(self) -> str:
        """What the program has complained about so far."""
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace")

    def _complaint(self) -> str:
        self._process.wait()
        return self.complaints()


class _Watchdog:
    """Kills a process that does not answer in time, so that reading from it ends."""

    def __init__(self, process: subprocess.Popen[bytes], timeout: float) -> None:
        self._process = process
        self._timer = threading.Timer(timeout, self._bite)
        self._timer.daemon = True
        self._seconds = timeout
        self._bitten = False

    def _bite(self) -> None:
        self._bitten = True
        self._process.kill()

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._timer.cancel()
        if self._bitten:
            raise Silent(f"no answer within {self._seconds:g} s")


def _stop(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    process.kill()
    process.communicate()
    errors.close()
