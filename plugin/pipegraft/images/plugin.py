"""The room's openers: registries, and the builder of a component."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipegraft.core.errors import UsageError
from pipegraft.core.plugins import hookimpl
from pipegraft.core.stage import Opener, Project
from pipegraft.images.adapters.registry import open_registry
from pipegraft.images.build_request import build_extras
from pipegraft.images.hooks import IMAGE_BUILDERS, ImageBuilderPlugin
from pipegraft.images.ports.builders import DOCKERFILE, IMAGE_BUILDER, WHY_BUILDER, ImageBuilder
from pipegraft.images.ports.registry import REGISTRY, REGISTRY_AT, ReferringRegistry
from pipegraft.images.reference import mirrored

__all__ = ["pipegraft_openers"]

_EXTRAS = {"secrets": "build secrets", "cache": "a build cache", "contexts": "additional contexts"}


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
