"""Plugins hear what happens and may say no; none of them changes what it hears."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipegraft.app.plugins import HOOKS
from pipegraft.app.run import Heard, ask_for_vetoes, tell_finished, tell_starting
from pipegraft.core.errors import Vetoed
from pipegraft.core.plugins import Plugins, hookimpl
from pipegraft.core.ports import Event, RecordingProgress
from pipegraft.core.stage import Stage, StageContext
from pipegraft.testing.stage_suite import stage_context

STAGE = Stage(name="one-stage", summary="One.", run=lambda _context, _inputs: None)


def plugins(**listeners: Any) -> Plugins:
    """Plugins by name, each with one hook."""
    made = Plugins(HOOKS, ())
    for name, (hook, function) in listeners.items():
        module = ModuleType(name)
        setattr(module, hook, hookimpl(function))
        made.register(module, name)
    return made


def test_observers_and_guards_get_only_what_they_ask_for(tmp_path: Path) -> None:
    seen: list[object] = []

    def starting(stage: Stage) -> None:
        seen.append(stage.name)

    def finished(error: Exception | None) -> None:
        raise RuntimeError("observer broke")

    def guard(context: StageContext) -> str:
        raise RuntimeError("cannot say")

    known = plugins(
        watch=("pipegraft_stage_starting", starting),
        broken=("pipegraft_stage_finished", finished),
        guard=("pipegraft_veto", guard),
        calm=("pipegraft_veto", lambda stage: None),
        strict=("pipegraft_veto", lambda: "it is Friday"),
    )
    progress = RecordingProgress()
    context = stage_context(tmp_path, progress=progress)
    tell_starting(known, context, STAGE)
    tell_finished(known, context, STAGE, None)
    assert seen == ["one-stage"]
    assert [(event.kind, event.message) for event in progress.events] == [
        ("warning", "plugin broken: pipegraft_stage_finished: RuntimeError: observer broke")
    ]
    with pytest.raises(Vetoed) as caught:
        ask_for_vetoes(known, "one-stage production", STAGE, context)
    said = str(caught.value)
    assert "one-stage production was stopped by plugin" in said
    assert "plugin 'guard': it could not decide: RuntimeError: cannot say" in said
    assert "plugin 'strict': it is Friday" in said
    assert "calm" not in said


def test_listeners_hear_every_event_and_a_broken_one_is_named_once() -> None:
    heard: list[tuple[str, str]] = []

    def event(app: str, event: Event) -> None:
        heard.append((app, event.kind))

    def broken() -> None:
        raise RuntimeError("no line")

    known = plugins(mine=("pipegraft_event", event), other=("pipegraft_event", broken))
    shown = RecordingProgress()
    progress = Heard("shop", known, shown)
    progress.emit(Event("commit", "weight 10"))
    progress.emit(Event("judgement", "pass"))
    assert heard == [("shop", "commit"), ("shop", "judgement")]
    assert [(event.kind, event.message) for event in shown.events] == [
        ("commit", "weight 10"),
        ("warning", "plugin other: pipegraft_event: RuntimeError: no line"),
        ("judgement", "pass"),
    ]
