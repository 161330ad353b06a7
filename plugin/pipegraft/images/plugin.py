"""What the room gives: registries and the builder of a component, and what doctor says of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipegraft.core.doctor import Diagnosis, Examination, Health, Patient
from pipegraft.core.errors import PipegraftError, UsageError
from pipegraft.core.plugins import hookimpl
from pipegraft.core.stage import Opener, Project
from pipegraft.images.adapters.daemonless import buildkit_command
from pipegraft.images.adapters.docker import connect, translated
from pipegraft.images.adapters.registry import open_registry
from pipegraft.images.adapters.registry.http import HttpRegistry
from pipegraft.images.build_request import build_extras
from pipegraft.images.hooks import (
    DOCKERFILE,
    IMAGE_BUILDER,
    IMAGE_BUILDERS,
    WHY_BUILDER,
    ImageBuilder,
    ImageBuilderPlugin,
)
from pipegraft.images.ports import REGISTRY, REGISTRY_AT, ReferringRegistry
from pipegraft.images.reference import LAYOUT, is_layout, mirrored

__all__ = ["examine_builders", "examine_registry", "pipegraft_examinations", "pipegraft_openers"]

_EXTRAS = {"secrets": "build secrets", "cache": "a build cache", "contexts": "additional contexts"}
_PATIENCE = 10.0
"""Seconds that doctor waits for an engine."""


def _registry(project: Project) -> ReferringRegistry:
    return open_registry(project.delivery.registry, project.root)


def _registry_at(project: Project, address: str) -> ReferringRegistry:
    return open_registry(mirrored(address, os.environ), project.root)


@dataclass(frozen=True, slots=True)
class _Choice:
    """The builder that a component gets, and why."""

    name: str
    builder: ImageBuilder
    why: str


def _choose(project: Project, component: str) -> _Choice:
    """The builder that a component names, else the first that accepts its folder and can do what it asks."""
    declared = project.delivery.components[component]
    context, dockerfile = project.root / declared.build_folder, declared.dockerfile or DOCKERFILE
    wanted = set(build_extras(declared, project.root).wanted())
    if declared.builder:
        plugin = project.plugins.get(IMAGE_BUILDERS, declared.builder)
        if not wanted <= plugin.supports:
            raise UsageError(
                f"component '{component}': {_lacking(plugin, wanted)}",
                fix="name the builder 'buildx', or leave it to be chosen",
            )
        return _Choice(plugin.name, plugin.connect(), "delivery.yaml names it")
    refusals: dict[str, list[str]] = {}
    plugins = project.plugins.all(IMAGE_BUILDERS).values()
    for plugin in sorted(plugins, key=lambda plugin: -plugin.priority):
        builder = plugin.connect()
        refusal = builder.accepts(context, dockerfile)
        if refusal is None and not wanted <= plugin.supports:
            refusal = _lacking(plugin, wanted)
        if refusal is None:
            return _Choice(plugin.name, builder, "; ".join(["the first that can", *_told(refusals)]))
        refusals.setdefault(refusal, []).append(plugin.name)
    raise UsageError(
        f"component '{component}': no image builder here can build {declared.build_folder}"
        f" ({'; '.join(_told(refusals))})",
        fix="give the job one of them, see 'Three set-ups' in docs/images.md",
    )


def _told(refusals: Mapping[str, Sequence[str]]) -> list[str]:
    """Reasons not to build, as clauses with the builders in front that they are of."""
    return [f"{', '.join(names)}: {reason}" for reason, names in refusals.items()]


def _builder(project: Project, component: str) -> tuple[str, ImageBuilder]:
    choice = _choose(project, component)
    return choice.name, choice.builder


def _why_builder(project: Project, component: str) -> str:
    return _choose(project, component).why


def _lacking(plugin: ImageBuilderPlugin, wanted: set[str]) -> str:
    """What is asked of a builder that cannot do it, as a clause."""
    missing = " and ".join(_EXTRAS[one] for one in sorted(wanted - plugin.supports, reverse=True))
    return f"the builder '{plugin.name}' cannot use {missing}, which takes BuildKit or buildah"


@hookimpl
def pipegraft_openers() -> Iterable[Opener[..., Any]]:
    yield Opener(REGISTRY, _registry)
    yield Opener(REGISTRY_AT, _registry_at)
    yield Opener(IMAGE_BUILDER, _builder)
    yield Opener(WHY_BUILDER, _why_builder)


def _repositories(patient: Patient) -> Sequence[str]:
    """One image of each component: rights may differ by repository."""
    if is_layout(patient.delivery.registry):
        return ("",)
    return tuple(
        dict.fromkeys(patient.delivery.image_repository(name) for name in patient.delivery.components)
    )


def examine_registry(patient: Patient, repository: str) -> Iterator[Diagnosis]:
    """Read and push rights of one repository; an upload is opened and given up, nothing is stored."""
    address = patient.delivery.registry
    if is_layout(address):
        yield _folder(patient.root / address.removeprefix(LAYOUT), address)
        return
    registry = patient.open(REGISTRY)
    registry.find(repository, "pipegraft-doctor")
    yield Diagnosis(f"{address}/{repository}", Health.GOOD, "answers, and may be read")
    if isinstance(registry, HttpRegistry):
        registry.try_push(repository)
        yield Diagnosis(f"{address}/{repository}", Health.GOOD, "may be pushed to")


def _folder(path: Path, address: str) -> Diagnosis:
    """Whether a folder of layouts can be written, or made."""
    there = next(one for one in (path, *path.absolute().parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Diagnosis(
            address,
            Health.WRONG,
            f"{there} cannot be written",
            "give this user the right, or name another folder",
        )
    found = "the folder can be written" if there == path else "the folder will be made"
    return Diagnosis(address, Health.GOOD, found)


def examine_builders(patient: Patient, _subject: str) -> Iterator[Diagnosis]:
    """The builder of each component, and the docker engine if one of them needs it."""
    needed: dict[str, list[str]] = {}
    reasons: dict[tuple[str, str], list[str]] = {}
    for component in patient.delivery.components:
        try:
            builder = patient.open(IMAGE_BUILDER, component)[0]
            needed.setdefault(builder, []).append(component)
            reasons.setdefault((builder, patient.open(WHY_BUILDER, component)), []).append(component)
        except PipegraftError as error:
            yield Diagnosis(f"component {component}", Health.WRONG, error.problem.message, error.problem.fix)
    for (builder, why), components in reasons.items():
        yield Diagnosis(f"builder {builder}", Health.GOOD, f"builds {', '.join(components)} ({why})")
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
    yield Examination(
        "registry", "The registry answers; images may be read and pushed.", examine_registry, _repositories
    )
    yield Examination("builders", "Something here builds every component.", examine_builders)
