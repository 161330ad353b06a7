"""Whether the builders that the components need are there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import closing

from pipegraft.core.doctor import Diagnosis, Examination, Health, Patient
from pipegraft.core.errors import PipegraftError, UsageError
from pipegraft.core.plugins import hookimpl
from pipegraft.images.adapters.build.buildkit import buildkit_command
from pipegraft.images.adapters.docker_engine import connect, translated
from pipegraft.images.ports.builders import IMAGE_BUILDER

__all__ = ["pipegraft_examinations"]

_PATIENCE = 10.0


def run(patient: Patient, _subject: str) -> Iterator[Diagnosis]:
    """The builder of each component, and the docker engine if one of them needs it."""
    needed: dict[str, list[str]] = {}
    for component in patient.delivery.components:
        try:
            needed.setdefault(patient.open(IMAGE_BUILDER, component)[0], []).append(component)
        except PipegraftError as error:
            yield Diagnosis(f"component {component}", Health.WRONG, error.problem.message, error.problem.fix)
    for builder, components in needed.items():
        yield Diagnosis(f"builder {builder}", Health.GOOD, f"builds {', '.join(components)}")
    if "docker" in needed:
        yield _engine()
    if "buildx" in needed:
        yield _plugin()
    if "buildkit" in needed:
        yield _buildkit()


def _engine() -> Diagnosis:
    try:
        with translated(UsageError), closing(connect(_PATIENCE)) as client:
            version = client.version()
    except PipegraftError as error:
        mend = "start a docker engine and set DOCKER_HOST, or name another builder in delivery.yaml"
        return Diagnosis("docker engine", Health.UNREACHABLE, error.problem.message, mend)
    return Diagnosis("docker engine", Health.GOOD, f"answers: version {version.get('Version')}")


def _plugin() -> Diagnosis:
    program = shutil.which("docker")
    mend = "install docker's plugin buildx in the job's image, or name another builder in delivery.yaml"
    if program is None:
        return Diagnosis("docker buildx", Health.WRONG, "docker is not installed", mend)
    done = subprocess.run(
        [program, "buildx", "version"], capture_output=True, text=True, timeout=_PATIENCE, check=False
    )
    if done.returncode:
        return Diagnosis("docker buildx", Health.WRONG, "docker lacks its plugin", mend)
    return Diagnosis("docker buildx", Health.GOOD, done.stdout.strip())


def _buildkit() -> Diagnosis:
    command = buildkit_command()
    if isinstance(command, str):
        mend = "set BUILDKIT_HOST, or take an image with buildctl-daemonless.sh"
        return Diagnosis("BuildKit", Health.WRONG, command, mend)
    host = os.environ.get("BUILDKIT_HOST")
    return Diagnosis("BuildKit", Health.GOOD, f"reached by {command[0]}" + (f" at {host}" if host else ""))


@hookimpl
def pipegraft_examinations() -> Iterable[Examination]:
    yield Examination("builders", "Something here builds every component.", run)
