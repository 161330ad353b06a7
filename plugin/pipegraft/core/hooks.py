"""The core's hooks: stages and those who watch them, what opens a port, what checks a delivery."""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any, ParamSpec, Protocol, TypeVar, runtime_checkable

from pipegraft.core.doctor import Examination
from pipegraft.core.plugins import Kind, hookspec
from pipegraft.core.ports import Event
from pipegraft.core.stage import Connections, DeliveryCheck, Opener, Port, Project, Stage, StageContext

__all__ = ["DELIVERY_CHECKS", "EXAMINATIONS", "OPENERS", "STAGES", "Closable", "LiveConnections", "connected"]

STAGES = Kind("pipegraft_stages", Stage, "stage")
OPENERS: Kind[Opener[..., Any]] = Kind("pipegraft_openers", Opener, "opener of the port")
DELIVERY_CHECKS = Kind("pipegraft_delivery_checks", DeliveryCheck, "check of delivery.yaml")
EXAMINATIONS = Kind("pipegraft_examinations", Examination, "examination")

P = ParamSpec("P")
T = TypeVar("T")


class LiveConnections:
    """`Connections` to the real world, by what the rooms and plugins registered; each is opened once.

    Arguments:
        project: whose delivery says where everything is.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._opened: dict[tuple[Any, ...], Any] = {}

    def open(self, port: Port[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        key = (port.name, args, tuple(sorted(kwargs.items())))
        if key not in self._opened:
            opener = self._project.plugins.get(OPENERS, port.name)
            self._opened[key] = opener.open(self._project, *args, **kwargs)
        found: T = self._opened[key]
        return found

    def calls(self, hook: str, **arguments: object) -> Iterator[tuple[str, Callable[[], Any]]]:
        return self._project.plugins.calls(hook, **arguments)

    def close(self) -> None:
        """Close what was opened and can be closed: nothing of it can be used any more."""
        for opened in self._opened.values():
            if isinstance(opened, Closable):
                opened.close()
        self._opened.clear()


@runtime_checkable
class Closable(Protocol):
    """What holds something open, such as processes or connections."""

    def close(self) -> None: ...


@contextmanager
def connected(project: Project, given: Connections | None = None) -> Iterator[Connections]:
    """Those given, or live ones of the project, which are closed at the end."""
    if given is not None:
        yield given
        return
    with closing(LiveConnections(project)) as live:
        yield live


@hookspec
def pipegraft_stages() -> Iterable[Stage]:
    """Stages that can be planned and run. Called once, when a command needs the stages.

    Example::

        from pipegraft.core.plugins import hookimpl
        from pipegraft.core.stage import Stage

        def run(context, inputs):
            context.report("progress", "hello")

        @hookimpl
        def pipegraft_stages():
            yield Stage(name="say-hello", summary="Greets.", run=run, after=("sync-gate",))

    Returns:
        Stage definitions, each with a name no other plugin uses.
    """


@hookspec
def pipegraft_openers() -> Iterable[Opener[..., Any]]:
    """What a stage may open by `StageContext.open`. Called once, when the first port is opened.

    Example::

        SCANNER: Port[[], Scanner] = Port("scanner")

        @hookimpl
        def pipegraft_openers():
            yield Opener(SCANNER, lambda project: Scanner(project.root))

        def run(context, inputs):
            context.open(SCANNER).scan()

    Returns:
        Openers, each of a port no other plugin opens.
    """


@hookspec
def pipegraft_delivery_checks() -> Iterable[DeliveryCheck]:
    """What is checked of ``delivery.yaml`` beside its shape. Called once, when one is read.

    Example::

        def problems(project, marked):
            for name in project.delivery.environments:
                if len(name) > 20:
                    place = marked.place(("environments", name))
                    yield Problem(f"environment '{name}': expected at most 20 characters", place)

        @hookimpl
        def pipegraft_delivery_checks():
            yield DeliveryCheck("short-names", problems)

    Returns:
        Checks, each with a name no other plugin uses.
    """


@hookspec
def pipegraft_examinations() -> Iterable[Examination]:
    """What `pipegraft doctor` looks at. Called once, when it runs.

    Example::

        def vault(patient, subject):
            yield Diagnosis("vault", Health.GOOD, "answers")

        @hookimpl
        def pipegraft_examinations():
            yield Examination("vault", "The vault answers.", vault)

    Returns:
        Examinations, each with a name no other plugin uses. They write nothing anywhere.
    """


@hookspec
def pipegraft_stage_starting(context: StageContext, stage: Stage) -> None:
    """Observes that a stage is about to run. Called before each stage; an exception is reported, not raised.

    Arguments:
        context: what the stage will be given.
        stage: its definition.
    """


@hookspec
def pipegraft_stage_finished(context: StageContext, stage: Stage, error: Exception | None) -> None:
    """Observes how a stage ended. Called after each stage; an exception is reported, not raised.

    Arguments:
        context: what the stage was given.
        stage: its definition.
        error: why it failed, None if it succeeded.
    """


@hookspec
def pipegraft_event(app: str, event: Event) -> None:
    """Hears everything a stage reports, as it happens: to notify people, to keep figures.

    Called for each event, in the thread that reports it; an exception is reported once, not raised.
    Of a gray release there are ``commit`` events (a weight, a promotion, a rollback) and ``judgement``
    events (after every look); `event.subject` is the environment.

    Example::

        @hookimpl
        def pipegraft_event(app, event):
            if event.kind == "commit" and event.data.get("step") == "rollback":
                call(f"{app} in {event.subject} was rolled back: {event.message}")

    Arguments:
        app: name of the application.
        event: what happened.
    """


@hookspec
def pipegraft_veto(context: StageContext, stage: Stage) -> str | None:
    """May stop a stage. Called after `pipegraft_stage_starting`; every plugin is asked.

    Example::

        @hookimpl
        def pipegraft_veto(context, stage):
            if stage.deploys and context.environment == "production" and frozen():
                return "production is frozen until Monday"

    Arguments:
        context: what the stage will be given.
        stage: its definition.

    Returns:
        The reason as a clause, or None to let it run. Any reason stops the stage with exit code 1.
    """
