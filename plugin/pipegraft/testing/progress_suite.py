"""What every `Progress` does.

Subclass `ProgressSuite` in a test module and give it the fixtures `progress` and `said`: a function that
answers everything it has shown or kept so far, as text.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipegraft.core.progress import Event, Progress

__all__ = ["ProgressSuite"]

_KINDS = ("commit", "verdict", "judgement", "warning")


class ProgressSuite:
    """The contract of `Progress`."""

    @pytest.mark.parametrize("kind", ["started", *_KINDS, "finished", "a-kind-nobody-knows"])
    def test_every_kind_is_shown_without_a_subject_or_data(
        self, progress: Progress, said: Callable[[], str], kind: str
    ) -> None:
        progress.emit(Event("started", "the stage begins", "image-build"))
        progress.emit(Event(kind, "what has happened"))
        progress.emit(Event("finished", "done", "image-build", {"seconds": 1.0, "ok": True}))
        assert "what has happened" in said() or kind == "started"  # which a live view shows while it lasts

    def test_markup_and_brackets_are_text(self, progress: Progress, said: Callable[[], str]) -> None:
        progress.emit(Event("warning", "expected [bold] and [/x], found [0]", "[web]"))
        assert "expected [bold] and [/x], found [0]" in said()

    def test_many_threads_may_tell_at_once(self, progress: Progress, said: Callable[[], str]) -> None:
        messages = [f"message {number:03} of many" for number in range(64)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda message: progress.emit(Event("commit", message)), messages))
        found = said()
        assert [found.count(message) for message in messages] == [1] * len(messages)
