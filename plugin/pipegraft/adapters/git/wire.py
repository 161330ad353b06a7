"""Git's wire protocol, version 2, over a pipe (gitprotocol-v2(5), gitprotocol-common(5)).

One conversation reads the tip, a commit and the few objects on the way to a file, where `git fetch`
would connect anew for each. The pipe is git's own HTTP helper (``stateless-connect``,
gitremote-helpers(7)), which knows proxies, certificates and credentials, or ``ssh``.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

__all__ = ["Refused", "Silent", "TooOld", "Wire"]


class TooOld(Exception):
    """The server or its transport does not speak version 2."""


class Silent(Exception):
    """The conversation broke off; the message is what the transport complained about."""


class Refused(Exception):
    """The server answered with an error of its own."""


_FLUSH, _DELIMITER, _RESPONSE_END = 0, 1, 2
_DATA, _FATAL = 1, 3


class Wire:
    """A conversation with ``git-upload-pack``.

    Arguments:
        command: what connects: git's HTTP helper, or ssh.
        environment: whole environment of that process.
        helper: whether the command is a remote helper, to be told what to connect to.
        timeout: seconds one answer may take.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], *, helper: bool, timeout: float
    ) -> None:
        self.stateless = helper
        """Whether each command is answered by a new process of the server, as over HTTP."""
        self._timeout = timeout
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env=environment
        )
        self.close = weakref.finalize(self, _stop, self._process, self._errors)
        """End the conversation."""
        self.capabilities = self._greet()

    def command(self, name: str, arguments: Sequence[str]) -> None:
        """Ask for something; the answer is read with `lines` or `pack`."""
        object_format = self.capabilities.get("object-format")
        head = [f"command={name}", *([f"object-format={object_format}"] if object_format else [])]
        request = [_packet(line) for line in head] + [b"0001"] + [_packet(line) for line in arguments]
        self._send(b"".join(request) + b"0000")

    def lines(self) -> list[str]:
        """A whole answer of text lines."""
        with self._watched():
            found = [line.decode().rstrip("\n") for line in self._until_flush()]
            self._end()
        return found

    def pack(self, sink: IO[bytes]) -> list[str]:
        """The answer of a fetch: copies the pack to `sink`, answers the lines of all other sections."""
        told: list[str] = []
        with self._watched():
            for line in self._until_flush():
                if line == b"packfile\n":
                    break
                told.append(line.decode().rstrip("\n"))
            else:
                raise Refused("the server sent no pack")
            for packet in self._until_flush():
                if packet[0] == _DATA:
                    sink.write(packet[1:])
                elif packet[0] == _FATAL:
                    raise Refused(packet[1:].decode("utf-8", "replace").strip())
            self._end()
        return told

    def _greet(self) -> dict[str, str]:
        with self._watched():
            if self.stateless:
                self._send(b"stateless-connect git-upload-pack\n")
                answer = self._read_line()
                if answer == b"fallback\n":
                    raise TooOld
            first = self._packet()
            if first != b"version 2\n":
                raise TooOld
            pairs = (line.decode().rstrip("\n").partition("=") for line in self._until_flush())
            return {name: value for name, _, value in pairs}

    def _until_flush(self) -> Iterator[bytes]:
        """Packets up to the flush packet; delimiters between sections are left out."""
        while (packet := self._packet()) != _FLUSH:
            if isinstance(packet, bytes):
                if packet.startswith(b"ERR "):
                    raise Refused(packet[4:].decode("utf-8", "replace").strip())
                yield packet

    def _end(self) -> None:
        if self.stateless and self._packet() != _RESPONSE_END:
            raise Silent("expected the end of the answer")

    def _packet(self) -> bytes | int:
        length = int(self._read(4), 16)
        return self._read(length - 4) if length >= 4 else length

    def _read(self, size: int) -> bytes:
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        content = self._process.stdout.read(size)
        if len(content) < size:
            raise Silent(self._complaint())
        return content

    def _read_line(self) -> bytes:
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        line = self._process.stdout.readline()
        if not line:
            raise Silent(self._complaint())
        return line

    def _send(self, content: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        try:
            self._process.stdin.write(content)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Silent(self._complaint()) from None

    def _complaint(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace")

    def _watched(self) -> _Watchdog:
        return _Watchdog(self._process, self._timeout)


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


def _packet(line: str) -> bytes:
    content = f"{line}\n".encode()
    return f"{len(content) + 4:04x}".encode() + content


def _stop(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    process.kill()
    process.communicate()
    errors.close()
