"""The hooks a plugin may implement.

A plugin is a module or object registered under the entry-point group ``pipegraft``. Hooks yield
frozen values that validate themselves; nothing is registered by side effect. A plugin may say which
version of the hooks it is written for, ``PIPEGRAFT_HOOKS = "1"``; another version than there is makes it
an error that names what to upgrade, instead of a failure in the middle of a delivery.
"""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pluggy

if TYPE_CHECKING:  # a command imports only what it uses
    from pipegraft.appspec.ports.resources import ResourceProvider
    from pipegraft.core.doctor import Examination
    from pipegraft.core.plugin_values import (
        CiSystem,
        GitOpsEnginePlugin,
        ImageBuilderPlugin,
        JudgePlugin,
        MetricSourcePlugin,
        TrafficRouterPlugin,
    )
    from pipegraft.core.progress import Event
    from pipegraft.core.stage import Stage, StageContext
    from pipegraft.images.ports.builders import ImageToSign
    from pipegraft.maturity.model import Signal

__all__ = [
    "CI_SYSTEMS",
    "EXAMINATIONS",
    "GITOPS_ENGINES",
    "HOOKS_VERSION",
    "IMAGE_BUILDERS",
    "JUDGES",
    "KINDS",
    "MATURITY_SIGNALS",
    "METRIC_SOURCES",
    "PROJECT",
    "RESOURCE_PROVIDERS",
    "STAGES",
    "TRAFFIC_ROUTERS",
    "Kind",
    "hookimpl",
]

PROJECT = "pipegraft"
HOOKS_VERSION = "1"
"""Rises when a hook changes in a way that a plugin notices; see `pipegraft.core.manager`."""
_hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of the hook of the same name."""


@_hookspec
def pipegraft_stages() -> Iterable[Stage]:
    """Stages that can be planned and run. Called once, when a command needs the stages.

    Example::

        from pipegraft.core.hookspecs import hookimpl
        from pipegraft.core.stage import Stage

        def run(context, inputs):
            context.report("progress", "hello")

        @hookimpl
        def pipegraft_stages():
            yield Stage(name="say-hello", summary="Greets.", run=run, after=("sync-gate",))

    Returns:
        Stage definitions, each with a name no other plugin uses.
    """


@_hookspec
def pipegraft_ci_systems() -> Iterable[CiSystem]:
    """CI systems that stages can be grafted onto. Called once, by inject, eject and templates.

    Example::

        @hookimpl
        def pipegraft_ci_systems():
            yield CiSystem(name="gitlab", files=(".gitlab-ci.yml",), inject=…, eject=…, templates=…, source=…)

    Returns:
        CI systems, each with a name no other plugin uses.
    """


@_hookspec
def pipegraft_image_builders() -> Iterable[ImageBuilderPlugin]:
    """Image builders. Called once, when image-build starts.

    Example::

        @hookimpl
        def pipegraft_image_builders():
            yield ImageBuilderPlugin(name="layer", connect=LayerBuilder)

    Returns:
        Builders, each with a name no other plugin uses.
    """


@_hookspec
def pipegraft_gitops_engines() -> Iterable[GitOpsEnginePlugin]:
    """GitOps engines a gate can wait for. Called once, when ``delivery.yaml`` is read.

    Example::

        class Options(Declared):
            application: str

        @hookimpl
        def pipegraft_gitops_engines():
            yield GitOpsEnginePlugin(name="mine", options=Options, connect=MyEngine, verdict=my_verdict)

    Returns:
        Engines, each with a name no other plugin uses.
    """


@_hookspec
def pipegraft_judges() -> Iterable[JudgePlugin]:
    """Judges of gray releases. Called once, by gray-release and by ``pipegraft judge``.

    Example::

        def patient(policy, observations):
            return Judgement(Answer.INCONCLUSIVE, "not yet", ())

        @hookimpl
        def pipegraft_judges():
            yield JudgePlugin(name="patient", summary="Never decides.", judge=patient)

    Returns:
        Judges, each with a name no other plugin uses.
    """


@_hookspec
def pipegraft_stage_starting(context: StageContext, stage: Stage) -> None:
    """Observes that a stage is about to run. Called before each stage; an exception is reported, not raised.

    Arguments:
        context: what the stage will be given.
        stage: its definition.
    """


@_hookspec
def pipegraft_stage_finished(context: StageContext, stage: Stage, error: Exception | None) -> None:
    """Observes how a stage ended. Called after each stage; an exception is reported, not raised.

    Arguments:
        context: what the stage was given.
        stage: its definition.
        error: why it failed, None if it succeeded.
    """


@_hookspec
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


@_hookspec
def pipegraft_sign_image(image: ImageToSign) -> None:
    """Signs an image. Called for each image that was built, in the thread that built it, before its tag
    ``ih-…`` is set: an image whose signing failed is not found, so the next run builds and signs it again.

    Example::

        @hookimpl
        def pipegraft_sign_image(image):
            done = subprocess.run(["cosign", "sign", "--yes", image.reference], capture_output=True)
            if done.returncode:
                raise OutsideError(f"cosign could not sign {image.component}: {done.stderr.decode()}")

    Arguments:
        image: what to sign.

    Raises:
        PipegraftError: it is not signed; its exit code becomes the run's.
    """


@_hookspec
def pipegraft_veto(context: StageContext, stage: Stage) -> str | None:
    """May stop a stage. Called after `pipegraft_stage_starting`; every plugin is asked.

    Example::

        @hookimpl
        def pipegraft_veto(context, stage):
            if stage.deploys and context.environment == "production" and frozen():
                return "production is frozen until Monday"

    Returns:
        The reason as a clause, or None to let it run. Any reason stops the stage with exit code 1.
    """


@_hookspec
def pipegraft_metric_sources() -> Iterable[MetricSourcePlugin]:
    """Sources of the counts that gray releases are judged by. Called once, when ``delivery.yaml`` is read.

    Example::

        class Options(Declared):
            url: str

        class Mine:
            def __init__(self, options, request):
                self._url = options.url

            def begin(self, at, now):
                self._before = read_counters(self._url)
                return now

            def take(self, until):
                before, self._before = self._before, read_counters(self._url)
                return difference(before, self._before)

        @hookimpl
        def pipegraft_metric_sources():
            yield MetricSourcePlugin(name="mine", options=Options, connect=Mine)

    Returns:
        Sources, each with a name no other plugin uses.
    """


@_hookspec
def pipegraft_traffic_routers() -> Iterable[TrafficRouterPlugin]:
    """What can split requests between two versions. Called once, when ``delivery.yaml`` is read.

    Example::

        @hookimpl
        def pipegraft_traffic_routers():
            yield TrafficRouterPlugin(name="haproxy", summary="HAProxy on this machine.", connect=HaProxy)

    Returns:
        Routers, each with a name no other plugin uses.
    """


@_hookspec
def pipegraft_resource_providers() -> Iterable[ResourceProvider]:
    """Who provides databases, caches, buckets. Called once, when an app spec is read.

    A type that other providers know must promise the same: use their `ResourceType`.

    Example::

        class Options(Declared):
            region: str

        def provide(request, options):
            return Provision({"path": f"/mnt/{options.region}/{request.name}"})

        @hookimpl
        def pipegraft_resource_providers():
            yield ResourceProvider(
                name="mine",
                summary="Folders of our file server.",
                types=(SHARE,),
                targets={"share": frozenset({"oam", "kubernetes"})},
                options=Options,
                provide=provide,
            )

    Returns:
        Providers, each with a name no other plugin uses.
    """


@_hookspec
def pipegraft_maturity_signals() -> Iterable[Signal]:
    """What `pipegraft assess` looks for in a repository. Called once, when it runs.

    Example::

        def on_call(repository):
            found = repository.find("on-call.md")
            return yes("it is there", Evidence(Place(found[0], 1))) if found else no("nobody is on call")

        @hookimpl
        def pipegraft_maturity_signals():
            yield Signal(
                name="on-call",
                dimension=Dimension.RUNTIME,
                stage=4,
                claim="somebody is on call",
                look=on_call,
                step="write on-call.md",
            )

    Returns:
        Signals, each with a name no other plugin uses.
    """


@_hookspec
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


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of value that plugins yield.

    Arguments:
        hook: name of the hook that yields it.
        path: dotted path of the values' class, imported when the first value is looked at; each has a `name`.
        word: what to call one in a message.
    """

    hook: str
    path: str
    word: str

    @property
    def type(self) -> type[T]:
        """The class of the values."""
        module, _, name = self.path.rpartition(".")
        found: type[T] = getattr(importlib.import_module(module), name)
        return found


STAGES: Kind[Stage] = Kind("pipegraft_stages", "pipegraft.core.stage.Stage", "stage")
CI_SYSTEMS: Kind[CiSystem] = Kind(
    "pipegraft_ci_systems", "pipegraft.core.plugin_values.CiSystem", "CI system"
)
IMAGE_BUILDERS: Kind[ImageBuilderPlugin] = Kind(
    "pipegraft_image_builders", "pipegraft.core.plugin_values.ImageBuilderPlugin", "image builder"
)
GITOPS_ENGINES: Kind[GitOpsEnginePlugin] = Kind(
    "pipegraft_gitops_engines", "pipegraft.core.plugin_values.GitOpsEnginePlugin", "GitOps engine"
)
JUDGES: Kind[JudgePlugin] = Kind("pipegraft_judges", "pipegraft.core.plugin_values.JudgePlugin", "judge")
METRIC_SOURCES: Kind[MetricSourcePlugin] = Kind(
    "pipegraft_metric_sources", "pipegraft.core.plugin_values.MetricSourcePlugin", "metric source"
)
RESOURCE_PROVIDERS: Kind[ResourceProvider] = Kind(
    "pipegraft_resource_providers", "pipegraft.appspec.ports.resources.ResourceProvider", "resource provider"
)
TRAFFIC_ROUTERS: Kind[TrafficRouterPlugin] = Kind(
    "pipegraft_traffic_routers", "pipegraft.core.plugin_values.TrafficRouterPlugin", "traffic router"
)
EXAMINATIONS: Kind[Examination] = Kind(
    "pipegraft_examinations", "pipegraft.core.doctor.Examination", "examination"
)
MATURITY_SIGNALS: Kind[Signal] = Kind(
    "pipegraft_maturity_signals", "pipegraft.maturity.model.Signal", "maturity signal"
)

KINDS: tuple[Kind[Any], ...] = (
    STAGES,
    CI_SYSTEMS,
    IMAGE_BUILDERS,
    GITOPS_ENGINES,
    JUDGES,
    METRIC_SOURCES,
    TRAFFIC_ROUTERS,
    RESOURCE_PROVIDERS,
    MATURITY_SIGNALS,
    EXAMINATIONS,
)
"""Every kind there is."""
