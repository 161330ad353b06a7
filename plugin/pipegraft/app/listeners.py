"""Plugins that listen to a run, and those that may say no."""

from __future__ import annotations

from pipegraft.core.errors import Vetoed
from pipegraft.core.plugins import Plugins, describe
from pipegraft.core.ports import Event, Progress
from pipegraft.core.stage import Stage, StageContext

__all__ = ["Heard", "ask_for_vetoes", "tell_finished", "tell_starting"]


class Heard:
    """Progress that plugins hear too.

    Arguments:
        app: name of the application.
        plugins: those that listen; what goes wrong in one is told once.
        shown: who shows or records it.
    """

    def __init__(self, app: str, plugins: Plugins, shown: Progress) -> None:
        self._app = app
        self._plugins = plugins
        self._shown = shown
        self._complaints: set[str] = set()

    def emit(self, event: Event) -> None:
        self._shown.emit(event)
        for plugin, call in self._plugins.calls("pipegraft_event", app=self._app, event=event):
            try:
                call()
            except Exception as error:  # noqa: BLE001 - an observer must not change what it observes
                self._complain(f"plugin {plugin}: pipegraft_event: {describe(error)}")

    def _complain(self, complaint: str) -> None:
        if complaint not in self._complaints:
            self._complaints.add(complaint)
            self._shown.emit(Event("warning", complaint))


def tell_starting(plugins: Plugins, context: StageContext, stage: Stage) -> None:
    """Tell every observer that a stage is about to run."""
    _tell(plugins, "pipegraft_stage_starting", context, context=context, stage=stage)


def tell_finished(plugins: Plugins, context: StageContext, stage: Stage, error: Exception | None) -> None:
    """Tell every observer how a stage ended."""
    _tell(plugins, "pipegraft_stage_finished", context, context=context, stage=stage, error=error)


def _tell(plugins: Plugins, hook: str, told: StageContext, **arguments: object) -> None:
    for plugin, call in plugins.calls(hook, **arguments):
        try:
            call()
        except Exception as error:  # noqa: BLE001 - an observer must not change what it observes
            told.report("warning", f"plugin {plugin}: {hook}: {describe(error)}")


def ask_for_vetoes(plugins: Plugins, name: str, stage: Stage, context: StageContext) -> None:
    """Let plugins stop a stage.

    Arguments:
        name: of the stage and its environment, for the message.

    Raises:
        Vetoed: with everybody's reason.
    """
    reasons: list[str] = []
    for plugin, call in plugins.calls("pipegraft_veto", context=context, stage=stage):
        try:
            reason = call()
        except Exception as error:  # noqa: BLE001 - a guard that cannot answer must not let pass
            reason = f"it could not decide: {describe(error)}"
        if reason:
            reasons.append(f"plugin '{plugin}': {reason}")
    if reasons:
        raise Vetoed(f"{name} was stopped by {'; '.join(reasons)}")
