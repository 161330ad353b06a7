"""The only list of concrete plugins that ship with the package."""

from __future__ import annotations

from types import ModuleType

from pipegraft.adapters import tracing
from pipegraft.adapters.build import buildx, docker, layer
from pipegraft.adapters.ci import gitlab, jenkins
from pipegraft.adapters.engine import embedded
from pipegraft.adapters.metrics import counts, prometheus
from pipegraft.adapters.metrics import embedded as proxy_metrics
from pipegraft.adapters.traffic import routers
from pipegraft.domain.judging import plugin as judges
from pipegraft.stages import gray_release, iac_bump, image_build, sync_gate

__all__ = ["PLUGINS"]

PLUGINS: tuple[ModuleType, ...] = (
    image_build,
    iac_bump,
    sync_gate,
    gray_release,
    gitlab,
    jenkins,
    layer,
    docker,
    buildx,
    embedded,
    proxy_metrics,
    prometheus,
    counts,
    routers,
    judges,
    tracing,
)
"""Modules that implement hooks, in the order their values are shown."""
