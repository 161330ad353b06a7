"""Git's wire protocol, version 2, over a pipe (gitprotocol-v2(5), gitprotocol-common(5)).

One conversation reads the tip, a commit and the few objects on the way to a file, where `git fetch`
would connect anew for each. The pipe is git's own HTTP helper (``stateless-connect``,
gitremote-helpers(7)), which knows proxies, certificates and credentials, or ``ssh``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from pipegraft.iac.adapters.git.pipe import Pipe, Silent

__all__ = ["Refused", "TooOld", "Wire"]


class TooOld(Exception):
    """The server or its transport does not speak version 2."""


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
        self._pipe = Pipe(command, environment, timeout=timeout)
        self.close = self._pipe.close
        """End the conversation."""
        self.capabilities = self._greet()

    def command(self, name: str, arguments: Sequence[str]) -> None:
        """Ask for something; the answer is read with `lines` or `pack`."""
        object_format = self.capabilities.get("object-format")
        head = [f"command={name}", *([f"object-format={object_format}"] if object_format else [])]
        request = [_packet(line) for line in head] + [b"0001"] + [_packet(line) for line in arguments]
        self._pipe.send(b"".join(request) + b"0000")

    def lines(self) -> list[str]:
        """A whole answer of text lines."""
        with self._pipe.watched():
            found = [line.decode().rstrip("\n") for line in self._until_flush()]
            self._end()
        return found

    def pack(self, sink: IO[bytes]) -> list[str]:
        """The answer of a fetch: copies the pack to `sink`, answers the lines of all other sections."""
        told: list[str] = []
        with self._pipe.watched():
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
        with self._pipe.watched():
            if self.stateless:
                self._pipe.send(b"stateless-connect git-upload-pack\n")
                answer = self._pipe.read_line()
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
        length = int(self._pipe.read(4), 16)
        return self._pipe.read(length - 4) if length >= 4 else length


def _packet(line: str) -> bytes:
    content = f"{line}\n".encode()
    return f"{len(content) + 4:04x}".encode() + content
