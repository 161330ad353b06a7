"""Progress of a run: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console

from pipegraft.core.progress import Event, Progress
from pipegraft.core.views.live_progress import LiveProgress, shown

__all__ = ["PlainProgress", "open_progress"]


class PlainProgress:
    """One line an event, for logs.

    Arguments:
        stream: where to; standard error if None, so that data on standard output stays clean.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()
        self._stage = ""
        self._last: dict[str, str] = {}

    def emit(self, event: Event) -> None:
        with self._lock:
            line = self._line(event)
            if line:
                self._stream.write(line + "\n")
                self._stream.flush()

    def _line(self, event: Event) -> str:
        if event.kind == "started":
            self._stage = event.subject
            return f"[{self._stage}] {event.message}"
        if event.kind == "finished":
            word = "done" if event.data.get("ok") else "failed"
            detail = "" if event.message == "done" else f": {event.message}"
            return f"[{event.subject}] {word} in {event.data.get('seconds', 0):.1f} s{detail}"
        if event.kind in {"progress", "verdict"} and self._last.get(event.subject) == event.message:
            return ""  # a log needs no heartbeat
        self._last[event.subject] = event.message
        subject = f"{shown(event.subject)}: " if event.subject else ""
        warning = "warning: " if event.kind == "warning" else ""
        stage = f"[{self._stage}] " if self._stage else ""  # none while many are released with one push
        return f"{stage}{warning}{subject}{event.message}"


@contextmanager
def open_progress() -> Iterator[Progress]:
    """What suits standard error: live on a terminal, plain lines otherwise."""
    if sys.stderr.isatty():
        console = Console(stderr=True)
        if console.is_terminal and not console.is_dumb_terminal:
            with LiveProgress(console) as live:
                yield live
            return
    yield PlainProgress()
