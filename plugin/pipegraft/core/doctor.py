"""What `pipegraft doctor` looks at: one examination a module, beside the adapter that knows the system.

And what works on the machine a delivery was written on, but on no CI runner: a job begins with a fresh clone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ParamSpec, TypeVar

from pipegraft.core.delivery import Component, Delivery, Environment
from pipegraft.core.errors import PluginError, Problem
from pipegraft.core.ports import Clock
from pipegraft.core.reading import Marked
from pipegraft.core.stage import Connections, Port, Requirement

__all__ = ["Diagnosis", "Examination", "Health", "Patient", "addresses_of", "runner_problems"]


class Health(StrEnum):
    """What came of a check."""

    GOOD = "good"
    NOTE = "worth knowing"
    UNREACHABLE = "not reachable"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One check.

    Arguments:
        subject: what was checked, in a few words.
        health: what came of it.
        found: what is there, one sentence.
        mend: what to do, as an imperative clause; empty where nothing is to be done.
    """

    subject: str
    health: Health
    found: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """What an examination may look at.

    Arguments:
        delivery: the delivery as declared.
        root: the source repository's folder.
        connections: opens the systems that it names.
        environment: the process's variables.
        requirements: what the stages of the plan need of the runner.
        clock: the time.
        longest: seconds that the plan may take by its stages' own limits.
    """

    delivery: Delivery
    root: Path
    connections: Connections
    environment: Mapping[str, str]
    requirements: Sequence[Requirement]
    clock: Clock
    longest: float = 0.0

    def open(self, port: Port[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What is behind a port, as a stage opens it."""
        return self.connections.open(port, *args, **kwargs)


P = ParamSpec("P")
T = TypeVar("T")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Examination:
    """Checks of one kind of system. Nothing is written anywhere.

    Arguments:
        name: kebab-case, unique over all plugins.
        summary: one line: what is checked.
        run: the checks of one subject; what it raises is a diagnosis too.
        subjects: what there is to look at, each looked at beside the others: environments, for example.
        limit: seconds that one subject may take.
    """

    name: str
    summary: str
    run: Callable[[Patient, str], Iterable[Diagnosis]]
    subjects: Callable[[Patient], Sequence[str]] = field(default=lambda _patient: ("",))
    limit: float = 20.0

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise PluginError(f"expected a kebab-case name of an examination, found {self.name!r}")
        if self.limit <= 0:
            raise PluginError(f"examination '{self.name}': expected a limit in seconds, found {self.limit:g}")


def addresses_of(delivery: Delivery) -> Sequence[str]:
    """Roots of the HTTP servers that a delivery names: ``https://host``."""
    named = [delivery.iac.repository]
    for environment in delivery.environments.values():
        named += [str(value) for value in environment.gate.options.values()]
        for metric in environment.gray.metrics if environment.gray else ():
            named += [str(value) for value in metric.options.values()]
    found = (re.match(r"(https?://)(?:[^@/\s]*@)?([^/\s?#]+)", text) for text in named)
    return tuple(dict.fromkeys(f"{one[1]}{one[2]}" for one in found if one))


_REMOTE = re.compile(r"(https?|ssh|git)://|[\w.-]+@[\w.-]+:|\$")
"""Begins a repository that a runner reaches: a URL, ``user@host:path``, or a variable of the CI system."""
_BY_ENGINE = (None, "docker", "buildx")
"""Builders of a Dockerfile that need a Docker engine; None is the first that fits."""
_USUAL_LIMIT = 3600.0
"""Seconds a job may take by default; source: docs.gitlab.com/ci/pipelines/settings, limit of jobs."""


def runner_problems(
    delivery: Delivery, marked: Marked, longest: float, has_dockerfile: Callable[[Component], bool]
) -> Iterator[Problem]:
    """Everything that a runner will stop at.

    Arguments:
        marked: ``delivery.yaml``, for places.
        longest: seconds that a delivery may take by its own limits.
        has_dockerfile: whether a component is built from a Dockerfile.
    """
    if delivery.registry.startswith("oci:"):
        yield Problem(
            f"the registry is a folder of this machine, '{delivery.registry}', which a runner does not have",
            marked.place(("registry",)),
            "write the registry's HOST/PATH before you commit",
        )
    repository = delivery.iac.repository
    if not _REMOTE.match(repository):
        yield Problem(
            f"the IaC repository is a path of this machine, '{repository}': a runner does not find it",
            marked.place(("iac", "repository")),
            "push it to your git server and write its URL",
        )
    by_engine = [
        name
        for name, component in delivery.components.items()
        if component.builder in _BY_ENGINE and has_dockerfile(component)
    ]
    if by_engine:
        names = ", ".join(f"'{name}'" for name in by_engine)
        yield Problem(
            f"{names}: built from a Dockerfile, which takes a Docker engine that the job reaches",
            marked.place(("components", by_engine[0], "builder"), key=True),
            "give the jobs one, or name 'builder: buildkit' or 'buildah'; docs/images.md shows how",
        )
    for name, environment in delivery.environments.items():
        yield from _of_environment(name, environment, marked)
    if longest > _USUAL_LIMIT:
        yield Problem(
            f"a delivery may take {longest / 3600:.1f} h by its own limits; many runners end a job after 1 h",
            marked.place(("environments",), key=True),
            "let project and runners allow as long (maximum job timeout), or lower 'timeout' and 'interval'",
        )


def _of_environment(name: str, environment: Environment, marked: Marked) -> Iterator[Problem]:
    route = ("environments", name)
    options = environment.gate.options
    if environment.gate.engine == "embedded" and "state" in options:
        yield Problem(
            f"the engine of '{name}' is found by a folder of this machine, '{options['state']}'",
            marked.place((*route, "gate", "state")),
            "name the engine that applies the IaC repository there: argocd, flux, kubevela or workloads",
        )
    gray = environment.gray
    for at, metric in enumerate(gray.metrics if gray else ()):
        if metric.source == "embedded" and "state" in metric.options:
            yield Problem(
                f"metric '{metric.name}' of '{name}' is read from a folder of this machine",
                marked.place((*route, "gray", "metrics", at)),
                "name a source that the job reaches, such as prometheus",
            )
