"""A stage, defined once, and its project: templates, steps, schema, docs and the local run derive from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Concatenate, Generic, Literal, ParamSpec, Protocol, TypeVar

from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import PipegraftError, PluginError, Problem
from pipegraft.core.model import Model
from pipegraft.core.plugins import Plugins, describe
from pipegraft.core.ports import Clock, Event, Progress
from pipegraft.core.reading import Marked
from pipegraft.core.release import EnvironmentRelease, Release, ReleaseStore

__all__ = [
    "NAMING",
    "STAGE_NAME",
    "Connections",
    "DeliveryCheck",
    "Opener",
    "Port",
    "Project",
    "Requirement",
    "Stage",
    "StageContext",
    "StageInputs",
]


@dataclass(frozen=True, slots=True)
class Project:
    """One application's source repository.

    Arguments:
        root: its folder.
        delivery: what `delivery.yaml` declares.
        plugins: everything that can be used for it.
    """

    root: Path
    delivery: Delivery
    plugins: Plugins


@dataclass(frozen=True, slots=True)
class DeliveryCheck:
    """Something that is checked of ``delivery.yaml`` beside its shape.

    Arguments:
        name: of what is checked, unique over all plugins.
        problems: the project and its file with the places of everything in it → what is wrong. A part of the
            delivery that is wrong by itself raises `UnknownValue` when it is used, which ends the check: what
            is checked of different parts belongs in `pipegraft.core.faults.as_far_as_known`, each by itself.
    """

    name: str
    problems: Callable[[Project, Marked], Iterable[Problem]]


P = ParamSpec("P")
T = TypeVar("T")


class StageInputs(Model):
    """Base of a stage's inputs. Every field needs a default and a docstring: they become template inputs."""

    ci_variables: ClassVar[tuple[str, ...]] = ()
    """Fields in whose values variables of the CI system, such as ``$CI_COMMIT_REF_SLUG``, are filled in."""


@dataclass(frozen=True, slots=True)
class Port(Generic[P, T]):
    """Something a stage can open: `StageContext.open` takes the port and what opening it takes.

    ``REGISTRY: Port[[], Registry] = Port("registry")`` is opened by ``context.open(REGISTRY)``,
    ``ENGINE: Port[[str], Engine] = Port("engine")`` by ``context.open(ENGINE, "production")``.

    Arguments:
        name: kebab-case, unique over all rooms and plugins.
    """

    name: str


class Connections(Protocol):
    """Opens ports when a stage first needs them; every answer is kept for the run."""

    def open(self, port: Port[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What is behind a port.

        Raises:
            UsageError: nobody opens it.
        """

    def calls(self, hook: str, **arguments: object) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Every plugin that implements a hook: its name, and the call; see `Plugins.calls`."""


@dataclass(frozen=True, slots=True)
class Opener(Generic[P, T]):
    """How a port is opened, registered by the room or plugin that it belongs to.

    Arguments:
        port: which one.
        open: the project, and what opening takes → what is behind the port.
    """

    port: Port[P, T]
    open: Callable[Concatenate[Project, P], T]

    @property
    def name(self) -> str:
        """The port's."""
        return self.port.name


@dataclass(frozen=True, slots=True)
class StageContext:
    """What a stage may touch.

    Arguments:
        delivery: the delivery as declared.
        root: the source repository's folder.
        environment: the environment this run is for, None for stages of the application.
    """

    delivery: Delivery
    root: Path
    environment: str | None
    connections: Connections
    releases: ReleaseStore
    clock: Clock
    progress: Progress

    def open(self, port: Port[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What is behind a port, such as the registry; see `Port`."""
        return self.connections.open(port, *args, **kwargs)

    def ask(self, hook: str, **arguments: object) -> list[Any]:
        """What every plugin answers that implements a hook, None left out.

        Raises:
            PipegraftError: a plugin does.
            PluginError: a plugin raises something else; names it.
        """
        answers: list[Any] = []
        for plugin, call in self.connections.calls(hook, **arguments):
            try:
                answers.append(call())
            except PipegraftError:
                raise
            except Exception as error:
                said = f"plugin {plugin}: {hook} failed: {describe(error)}"
                raise PluginError(said, fix="mend the plugin, or remove it") from error
        return [answer for answer in answers if answer is not None]

    def report(self, kind: str, message: str, subject: str = "", **data: Any) -> None:
        """Tell whoever watches; see `Event`."""
        self.progress.emit(Event(kind, message, subject, data))

    def require_environment(self) -> str:
        """The environment's name, for stages that cannot run without one."""
        if self.environment is None:
            raise PluginError(
                "this stage belongs to an environment, and none was given",
                fix="declare the stage with scope='environment'",
            )
        return self.environment

    def update_environment(self, **changes: Any) -> Release:
        """Put fields of this environment's part of the release record, and save it."""
        name = self.require_environment()
        release = self.releases.load()
        part = release.environments.get(name, EnvironmentRelease()).model_copy(update=changes)
        release = release.model_copy(update={"environments": {**release.environments, name: part}})
        self.releases.save(release)
        return release


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something the runner must offer: a tool, a variable, a right.

    Arguments:
        name: ``git``, ``PIPEGRAFT_IAC_TOKEN``, …
        why: what it is for, one clause.
        secret: a variable to be masked and protected.
        wanted: whether a delivery has a use for it.
    """

    name: str
    why: str
    secret: bool = False
    wanted: Callable[[Delivery], bool] = lambda _delivery: True


STAGE_NAME = re.compile(r"(?=.{2,42}\Z)[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
"""Kebab-case: a stage's name becomes part of job names, variables and labels."""
NAMING = "begin with a lower-case letter; go on with letters, digits and single '-'; 2 to 42 characters"
"""What `STAGE_NAME` asks for, in words."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage definition.

    Arguments:
        name: kebab-case, unique over all plugins.
        summary: one sentence for people.
        run: does the work; raises a `DeliveryRefused` to say no.
        inputs: what a pipeline may set; every field has a default.
        scope: once for the application, or once for each environment.
        after, before: names of stages of the same scope that it must follow or precede, where present.
        applies: whether an environment of a delivery wants it.
        longest: seconds that it may take by its own limits, for a delivery and an environment; 0 if unknown.
            Jobs get as long, and a shorter deadline of the team's is refused or told.
        deploys: changes what runs: one at a time for each environment, never interrupted.
        requires: what the runner must offer.
        uses_engine: its job may be given services, the address of a container engine and a cache.
        reports_tests: writes ``.pipegraft/NAME-*.junit.xml``, which a CI system can show.
        description: Markdown for the stage's page.
    """

    name: str
    summary: str
    run: Callable[[StageContext, Any], None]
    inputs: type[StageInputs] = StageInputs
    scope: Literal["app", "environment"] = "environment"
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    applies: Callable[[Delivery, str | None], bool] = field(default=lambda _delivery, _environment: True)
    longest: Callable[[Delivery, str | None], float] = field(default=lambda _delivery, _environment: 0.0)
    deploys: bool = False
    requires: tuple[Requirement, ...] = ()
    uses_engine: bool = False
    reports_tests: bool = False
    description: str = ""

    def __post_init__(self) -> None:
        if not STAGE_NAME.fullmatch(self.name):
            raise PluginError(f"expected a kebab-case stage name, found {self.name!r}", fix=NAMING)
        for name, field_info in self.inputs.model_fields.items():
            if field_info.is_required():
                raise PluginError(
                    f"stage '{self.name}': input '{name}' has no default",
                    fix="give it one: a mandatory input breaks pipelines that start by themselves",
                )

    def parse_inputs(self, values: Mapping[str, Any]) -> StageInputs:
        """Typed inputs from what a user set; keys in kebab-case.

        Raises:
            pydantic.ValidationError: unknown key or wrong type.
        """
        return self.inputs.model_validate(dict(values))
