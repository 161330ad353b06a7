"""A push over HTTP in one conversation: what the server holds first, then the commit on top of it.

`git push` would ask again for what the branch is at. The program is git's own HTTP helper
(gitremote-helpers(7), ``list for-push`` and ``push``), which knows proxies, certificates and credentials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipegraft.iac.adapters.git.pipe import Pipe

__all__ = ["Sending"]

_OPTIONS = (b"option progress false\n", b"option verbosity 0\n")


class Sending:
    """A conversation with ``git-receive-pack``.

    Arguments:
        command: git's HTTP helper.
        environment: whole environment of that process.
        timeout: seconds one answer may take.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], *, timeout: float) -> None:
        self._pipe = Pipe(command, environment, timeout=timeout)
        self.close = self._pipe.close
        """End the conversation."""

    def heads(self) -> dict[str, str]:
        """Reference → object name of its commit, as the server holds them."""
        with self._pipe.watched():
            self._options(*_OPTIONS)
            self._pipe.send(b"list for-push\n")
            pairs = [line.decode().split(" ")[:2] for line in self._answer()]
        return {reference: name for name, reference in pairs}

    def send(self, made: str, reference: str, parent: str) -> tuple[str, str]:
        """Move a reference from `parent`, where `heads` found it, to `made`, or not at all.

        Returns:
            Why the server did not take it, empty if it did; and what git and the server said meanwhile.
        """
        with self._pipe.watched():
            self._options(f"option cas {reference}:{parent}\n".encode())
            self._pipe.send(f"push {made}:{reference}\n\n".encode())
            told = [line.decode("utf-8", "replace").partition(f" {reference}") for line in self._answer()]
        refused = [reason.strip() or "no reason given" for word, _, reason in told if word == "error"]
        taken = any(word == "ok" for word, _, _ in told)
        return "" if taken else (refused or [""])[0], "" if taken else self._pipe.complaints()

    def _options(self, *options: bytes) -> None:
        self._pipe.send(b"".join(options))
        for _ in options:
            self._pipe.read_line()  # "ok", or a helper that does without

    def _answer(self) -> list[bytes]:
        lines = []
        while (line := self._pipe.read_line()) != b"\n":
            lines.append(line.rstrip(b"\n"))
        return lines
