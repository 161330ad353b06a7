"""Run planned stages here, as every CI job does, and tell the plugins that watch stages or may veto them."""

from __future__ import annotations

import time
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipegraft.app.plan import plan_project
from pipegraft.ci.hooks import CI_SYSTEMS
from pipegraft.core.adapters.files import RECORD, FileReleaseStore
from pipegraft.core.adapters.vcs_info import read_source
from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.errors import ConfigError, PipegraftError, Place, Problem, Vetoed
from pipegraft.core.faults import Fault, read
from pipegraft.core.hooks import STAGES, connected
from pipegraft.core.model import keys_of
from pipegraft.core.planning import PlannedStage
from pipegraft.core.plugins import Plugins, describe
from pipegraft.core.ports import Event, Progress
from pipegraft.core.release import Release, Source
from pipegraft.core.stage import Connections, Project, Stage, StageContext, StageInputs

__all__ = [
    "Heard",
    "RunRequest",
    "ask_for_vetoes",
    "open_record",
    "read_inputs",
    "run_stages",
    "tell_finished",
    "tell_starting",
    "variable_name",
]


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


def variable_name(stage: str, key: str) -> str:
    """The environment variable that sets an input: ``PIPEGRAFT_INPUT_IMAGE_BUILD_JOBS``."""
    return f"PIPEGRAFT_INPUT_{stage}_{key}".replace("-", "_").upper()


def read_inputs(
    stages: Iterable[Stage], settings: Mapping[str, str], variables: Mapping[str, str]
) -> dict[str, StageInputs]:
    """Typed inputs of each stage; a setting wins over a variable, an empty variable is none.

    Arguments:
        stages: the stages of this run.
        settings: ``input`` (for every stage that has it) or ``stage.input`` → value as written; items
            of a list with commas between them.
        variables: environment variables.

    Raises:
        ConfigError: unknown inputs and wrong values, all of them.
    """
    chosen = {stage.name: stage for stage in stages}
    known = {f"{stage.name}.{key}" for stage in chosen.values() for key in _keys(stage)}
    short = {key.partition(".")[2] for key in known}
    problems = [_unknown(key, known) for key in settings if key not in known | short]
    parsed: dict[str, StageInputs] = {}
    for stage in chosen.values():
        found = read(stage.inputs, _values(stage, settings, variables))
        problems += [_wrong(stage, fault) for fault in found.faults]
        if found.known is not None:
            parsed[stage.name] = found.known
    if problems:
        raise ConfigError(problems)
    return parsed


def _keys(stage: Stage) -> dict[str, bool]:
    """Input → whether it is a list."""
    return {
        key: typing.get_origin(stage.inputs.model_fields[name].annotation) in (tuple, list)
        for name, key in keys_of(stage.inputs).items()
    }


def _values(stage: Stage, settings: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, is_list in _keys(stage).items():
        from_variable = variables.get(variable_name(stage.name, key)) or None
        value = settings.get(f"{stage.name}.{key}", settings.get(key, from_variable))
        if value is not None:
            found[key] = [item.strip() for item in value.split(",") if item.strip()] if is_list else value
    return found


def _unknown(key: str, known: Iterable[str]) -> Problem:
    return Problem(
        f"no stage of this run has the input '{key}'",
        Place("--set"),
        f"use one of: {', '.join(sorted(known))}",
    )


def _wrong(stage: Stage, fault: Fault) -> Problem:
    name = str(fault.route[0])
    message = f"input '{name}' of stage '{stage.name}': {fault.message}, found {fault.found!r}"
    return Problem(message, Place("--set"), f"set {stage.name}.{name}, or {variable_name(stage.name, name)}")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What to run.

    Arguments:
        stages: names; all of the plan if empty.
        environment: only this one; all if None.
        settings: ``input`` or ``stage.input`` → value as written by a user.
        variables: the process's environment variables, for the CI system's facts and
            ``PIPEGRAFT_INPUT_<STAGE>_<INPUT>``; ``PIPEGRAFT_RELEASE_NUMBER`` numbers a run outside of CI.
        anew: whether it is a release of its own, even of a source commit that was released before.
    """

    stages: tuple[str, ...] = ()
    environment: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    anew: bool = False


def run_stages(
    project: Project, request: RunRequest, progress: Progress, connections: Connections | None = None
) -> Release:
    """Run stages one after another, and answer the release record as it is then.

    The record is continued when it belongs to the same source commit, so a run that was cut short is
    resumed by the same command.

    Arguments:
        connections: the outside world; the one `delivery.yaml` names if None.

    Raises:
        PipegraftError: what stopped it; the stages after that one did not run.
    """
    chosen = plan_project(project, request.stages, request.environment)
    stages = {one.stage: project.plugins.get(STAGES, one.stage) for one in chosen}
    inputs = read_inputs(stages.values(), request.settings, request.variables)
    begins = any(not stage.after for stage in stages.values())
    store = open_record(project, request.variables, anew=request.anew, begins=begins)
    with connected(project, connections) as opened:
        heard = Heard(project.delivery.app, project.plugins, progress)
        for planned in chosen:
            context = StageContext(
                project.delivery, project.root, planned.environment, opened, store, SystemClock(), heard
            )
            _run_one(project, planned, stages[planned.stage], context, inputs[planned.stage])
        return store.load()


def _run_one(
    project: Project, planned: PlannedStage, stage: Stage, context: StageContext, inputs: StageInputs
) -> None:
    started = time.monotonic()
    context.progress.emit(Event("started", stage.summary, planned.id))
    tell_starting(project.plugins, context, stage)
    error: Exception | None = None
    try:
        ask_for_vetoes(project.plugins, planned.id, stage, context)
        stage.run(context, inputs)
    except Exception as caught:
        error = caught
        raise
    finally:
        seconds = time.monotonic() - started
        outcome = "done" if error is None else _first_line(error)
        context.progress.emit(
            Event("finished", outcome, planned.id, {"seconds": round(seconds, 3), "ok": error is None})
        )
        tell_finished(project.plugins, context, stage, error)


def _first_line(error: Exception) -> str:
    message = error.problem.message if isinstance(error, PipegraftError) else str(error)
    return message.splitlines()[0] if message else type(error).__name__


def open_record(
    project: Project, variables: Mapping[str, str], *, anew: bool = False, begins: bool = False
) -> FileReleaseStore:
    """The project's release record, begun anew if it is of another source commit.

    A pipeline that begins with another number on the same commit is a release of its own; where a later stage
    has another number (a build restarted in its midst, a child pipeline), the record's stays, unless a user
    gives one.

    A file that is there stays as it is until a stage records something.

    Arguments:
        variables: the process's environment variables, for the CI system's facts.
        anew: begin anew in any case.
        begins: whether a stage is to run that comes after no other.
    """
    store = FileReleaseStore(project.root / RECORD)
    app = project.delivery.app
    if anew:
        return FileReleaseStore(store.path, Release(app=app, source=_source(project, variables)))
    release = store.load() if store.path.exists() else None
    source = _source(project, variables, release.source if release else None)
    if release is None:
        store.save(Release(app=app, source=source))
    elif (release.app, release.source.commit) != (app, source.commit) or (
        begins and release.source.number != source.number
    ):
        return FileReleaseStore(store.path, Release(app=app, source=source))
    elif "PIPEGRAFT_RELEASE_NUMBER" in variables and source.pipeline == "local":
        store.save(release.model_copy(update={"source": source}))
    return store


def _source(project: Project, variables: Mapping[str, str], recorded: Source | None = None) -> Source:
    for system in project.plugins.all(CI_SYSTEMS).values():
        source = system.source(variables)
        if source is not None:
            return source
    return read_source(project.root, variables.get("PIPEGRAFT_RELEASE_NUMBER"), recorded)
