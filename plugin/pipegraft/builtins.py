"""The only list of concrete plugins that ship with the package."""

from __future__ import annotations

from pipegraft.manager import Builtin

__all__ = ["PLUGINS"]

PLUGINS: tuple[Builtin, ...] = (
    Builtin("pipegraft.stages.image_build", "stage image-build"),
    Builtin("pipegraft.stages.iac_bump", "stage iac-bump"),
    Builtin("pipegraft.stages.sync_gate", "stage sync-gate"),
    Builtin("pipegraft.stages.gray_release", "stage gray-release"),
    Builtin("pipegraft.adapters.ci.gitlab", "CI system gitlab"),
    Builtin("pipegraft.adapters.ci.jenkins", "CI system jenkins"),
    Builtin("pipegraft.adapters.build.layer", "image builder layer"),
    Builtin("pipegraft.adapters.build.docker", "image builder docker"),
    Builtin("pipegraft.adapters.build.buildx", "image builder buildx"),
    Builtin("pipegraft.adapters.engine.embedded", "GitOps engine embedded"),
    Builtin("pipegraft.adapters.engine.argocd", "GitOps engine argocd"),
    Builtin("pipegraft.adapters.engine.flux", "GitOps engine flux"),
    Builtin("pipegraft.adapters.engine.kubevela", "GitOps engine kubevela"),
    Builtin("pipegraft.adapters.engine.workloads", "GitOps engine workloads"),
    Builtin("pipegraft.adapters.metrics.embedded", "metric source embedded"),
    Builtin("pipegraft.adapters.metrics.prometheus", "metric source prometheus"),
    Builtin("pipegraft.adapters.metrics.counts", "metric source json", "metric source command"),
    Builtin(
        "pipegraft.adapters.traffic.routers",
        *(f"traffic router {name}" for name in ("embedded", "gateway-api", "istio", "ingress-nginx")),
    ),
    Builtin("pipegraft.domain.judging.plugin", "judge sequential", "judge threshold", "judge mann-whitney"),
    Builtin(
        "pipegraft.domain.resources.plugin",
        *(f"resource provider {name}" for name in ("local", "crossplane", "kubevela-terraform")),
    ),
    Builtin("pipegraft.adapters.tracing"),
)
"""Modules that implement hooks, in the order their values are shown, with everything each provides.

A module is imported when something that it provides is needed; one that provides nothing by name (it
observes, or may veto) is imported at once.
"""
