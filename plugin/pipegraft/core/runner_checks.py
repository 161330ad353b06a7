"""What of a delivery works on the machine it was written on, and cannot work on a CI runner.

A job begins with a fresh clone: folders of this machine are empty or not there, and nothing of it is kept.
`pipegraft inject` says so before it is committed, and `pipegraft doctor` from a job and from a laptop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from pipegraft.core.delivery import Component, Delivery, Environment
from pipegraft.core.errors import Problem
from pipegraft.core.yaml_positions import Marked

__all__ = ["runner_problems"]

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
