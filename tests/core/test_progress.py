from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest
from rich.console import Console

from pipegraft.core.console import LiveProgress, PlainProgress
from pipegraft.core.ports import Event
from pipegraft.testing.core_suite import ProgressSuite

EVENTS = [
    Event("started", "Build images.", "image-build"),
    Event("progress", "hashing", "web"),
    Event("progress", "hashing", "web"),
    Event("progress", "built sha256:1", "web"),
    Event("warning", "the folder is empty", "pricing"),
    Event("finished", "done", "image-build", {"seconds": 1.24, "ok": True}),
    Event("started", "Wait for the engine.", "sync-gate:production"),
    Event("verdict", "succeeded: all of it is live"),
    Event("finished", "expected a, found b", "sync-gate:production", {"seconds": 0.5, "ok": False}),
]


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


class TestPlainProgress(ProgressSuite):
    @pytest.fixture
    def progress(self, stream: io.StringIO) -> PlainProgress:
        return PlainProgress(stream)

    @pytest.fixture
    def said(self, stream: io.StringIO) -> Callable[[], str]:
        return stream.getvalue


class TestLiveProgress(ProgressSuite):
    @pytest.fixture
    def progress(self, stream: io.StringIO) -> Iterator[LiveProgress]:
        console = Console(
            file=stream, force_terminal=True, width=100, color_system=None, legacy_windows=False
        )
        with LiveProgress(console) as progress:
            yield progress

    @pytest.fixture
    def said(self, stream: io.StringIO) -> Callable[[], str]:
        return stream.getvalue


def test_plain_lines_say_what_changed_and_repeat_nothing() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    for event in EVENTS:
        progress.emit(event)
    assert stream.getvalue().splitlines() == [
        "[image-build] Build images.",
        "[image-build] web: hashing",
        "[image-build] web: built sha256:1",
        "[image-build] warning: pricing: the folder is empty",
        "[image-build] done in 1.2 s",
        "[sync-gate:production] Wait for the engine.",
        "[sync-gate:production] succeeded: all of it is live",
        "[sync-gate:production] failed in 0.5 s: expected a, found b",
    ]


def test_outside_of_a_stage_there_is_no_name_of_one() -> None:
    stream = io.StringIO()
    PlainProgress(stream).emit(Event("commit", "release 2 in production", "production", {}))
    assert stream.getvalue() == "production: release 2 in production\n"


def test_what_stays_on_a_terminal() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, color_system=None, legacy_windows=False)
    with LiveProgress(console) as progress:
        for event in EVENTS:
            progress.emit(event)
    said = stream.getvalue()
    for line in (
        "! pricing  the folder is empty",
        "✔ image-build  1.2 s",
        "● succeeded: all of it is live",
        "✘ sync-gate:production  0.5 s  expected a, found b",
    ):
        assert line in said


def gate_event(message: str, *rows: tuple[str, str, str]) -> Event:
    names = ("name", "state", "message")
    resources = [dict(zip(names, row, strict=True)) for row in rows]
    return Event("verdict", message, "a" * 40, {"state": "progressing", "resources": resources})


ROWS = (
    ("Application argocd/shop", "progressing", "health Progressing"),
    ("Deployment shop/web", "failed", "CrashLoopBackOff"),
    *((f"Service shop/s{number}", "succeeded", "Synced") for number in range(14)),
)


def test_a_gate_shows_its_resources_those_that_are_not_well_first() -> None:
    stream = io.StringIO()
    console = Console(
        file=stream, force_terminal=True, width=100, height=40, color_system=None, legacy_windows=False
    )
    with LiveProgress(console) as progress:
        progress.emit(Event("started", "Wait.", "sync-gate:production"))
        progress.emit(gate_event("progressing: health Progressing", *ROWS))
        console.print(progress._picture())
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    table = [line for line in lines if line.lstrip().startswith(("✘", "○", "●"))]
    assert table[0].split() == ["✘", "Deployment", "shop/web", "CrashLoopBackOff"]
    assert table[1].split() == ["○", "Application", "argocd/shop", "health", "Progressing"]
    assert "and 4 more; 14 of 16 are well" in stream.getvalue()


def test_a_log_tells_the_same_verdict_once_whatever_its_resources() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.emit(gate_event("progressing: not yet", *ROWS[:1]))
    progress.emit(gate_event("progressing: not yet", *ROWS[:2]))
    assert stream.getvalue().count("not yet") == 1


def test_a_table_that_an_event_brings_stands_below_the_stage_until_it_ends(stream: io.StringIO) -> None:
    console = Console(file=stream, force_terminal=True, width=100, color_system=None, legacy_windows=False)
    table = {
        "columns": ["5%", "gray, by interval", "12 minutes left"],
        "rows": [["errors", "▁▂█", "not yet"]],
    }
    with LiveProgress(console) as progress:
        progress.emit(Event("started", "Moves requests.", "gray-release:production"))
        progress.emit(
            Event("judgement", "5%: gray fails 1.1 times as often", "production",
                  {"answer": "inconclusive", "table": table})
        )  # fmt: skip
        console.print(progress._picture())
        shown = stream.getvalue()
        assert all(word in shown for word in ("12 minutes left", "errors", "▁▂█"))
        progress.emit(Event("finished", "done", "gray-release:production", {"seconds": 1.0, "ok": True}))
        stream.truncate(0)
        console.print(progress._picture())
    assert "12 minutes left" not in stream.getvalue()
