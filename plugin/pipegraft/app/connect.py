"""Opens the real systems a delivery names, when a stage first needs them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from pipegraft.appspec.rendering.yaml_output import dump_documents
from pipegraft.appspec.usecases.render import installed_rendering, render_texts
from pipegraft.core.adapters.clock import SystemClock
from pipegraft.core.delivery import Gray
from pipegraft.core.errors import BuildFailed, UsageError
from pipegraft.core.hookspecs import GITOPS_ENGINES, IMAGE_BUILDERS, JUDGES, METRIC_SOURCES, TRAFFIC_ROUTERS
from pipegraft.core.project import Project
from pipegraft.core.stage import IacBranch
from pipegraft.gate.ports import EngineRequest
from pipegraft.gray.ports.metrics import MetricRequest
from pipegraft.iac.adapters.forge.gitlab import GitLabBranch, open_gitlab_project
from pipegraft.iac.adapters.forge.merge_request import MergeRequestBranch
from pipegraft.iac.adapters.git import open_branch
from pipegraft.iac.rendered import RenderedBranch
from pipegraft.images.adapters.registry import open_registry
from pipegraft.images.build_request import build_extras
from pipegraft.images.ports.builders import ImageBuilder
from pipegraft.images.ports.registry import ReferringRegistry

if TYPE_CHECKING:
    from pipegraft.core.plugin_values import ImageBuilderPlugin
    from pipegraft.gate.ports import GitOpsEngine, VerdictRule
    from pipegraft.gray.ports.judge import Judge
    from pipegraft.gray.ports.metrics import MetricSource
    from pipegraft.gray.ports.rollout import Rollout, RolloutRule
    from pipegraft.iac.rendered import Render

__all__ = ["LiveConnections", "open_iac", "with_manifests"]


class LiveConnections:
    """`Connections` to the real world.

    Arguments:
        project: whose delivery says where everything is.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self.sign = project.plugins.sign
        self.registry = cache(self._registry)
        self.builder = cache(self._builder)
        self.iac = cache(self._iac)
        self.engine = cache(self._engine)
        self.judge = cache(self._judge)
        self.metrics = cache(self._metrics)
        self.rollout = cache(self._rollout)

    def _registry(self, address: str | None = None) -> ReferringRegistry:
        return open_registry(address or self._project.delivery.registry, self._project.root)

    def _builder(self, component: str) -> tuple[str, ImageBuilder]:
        declared = self._project.delivery.components[component]
        context = self._project.root / declared.path
        wanted = set(build_extras(declared, self._project.root).wanted())
        if declared.builder:
            plugin = self._project.plugins.get(IMAGE_BUILDERS, declared.builder)
            if not wanted <= plugin.supports:
                raise UsageError(
                    f"component '{component}': {_lacking(plugin, wanted)}",
                    fix="name the builder 'buildx', or leave it to be chosen",
                )
            return plugin.name, plugin.connect()
        refusals: list[str] = []
        plugins = self._project.plugins.all(IMAGE_BUILDERS).values()
        for plugin in sorted(plugins, key=lambda plugin: -plugin.priority):
            builder = plugin.connect()
            refusal = builder.accepts(context)
            if refusal is None and not wanted <= plugin.supports:
                refusal = _lacking(plugin, wanted)
            if refusal is None:
                return plugin.name, builder
            refusals.append(f"{plugin.name}: {refusal}")
        raise BuildFailed(
            f"component '{component}': no image builder accepts {declared.path} ({'; '.join(refusals)})",
            fix="add a Dockerfile, or name a builder in delivery.yaml",
        )

    def _iac(self) -> IacBranch:
        return with_manifests(open_iac(self._project, self._project.delivery.iac.path), [self._project])

    def _engine(self, environment: str) -> tuple[GitOpsEngine, VerdictRule]:
        gate = self._project.delivery.environments[environment].gate
        plugin = self._project.plugins.get(GITOPS_ENGINES, gate.engine)
        options = plugin.options.model_validate(dict(gate.options))
        iac = self._project.delivery.iac
        request = EngineRequest(self._project.root, iac.repository, iac.branch, environment)
        return plugin.connect(options, request), plugin.verdict

    def _judge(self, environment: str) -> Judge:
        return self._project.plugins.get(JUDGES, self._gray(environment).judge).judge

    def _metrics(self, environment: str) -> Mapping[str, MetricSource]:
        delivery, root = self._project.delivery, self._project.root
        found: dict[str, MetricSource] = {}
        for metric in self._gray(environment).metrics:
            plugin = self._project.plugins.get(METRIC_SOURCES, metric.source)
            options = plugin.options.model_validate(dict(metric.options))
            found[metric.name] = plugin.connect(
                options, MetricRequest(delivery.app, environment, metric, root)
            )
        return found

    def _rollout(self, environment: str) -> tuple[Rollout, RolloutRule]:
        gray = self._gray(environment)
        plugin = self._project.plugins.get(TRAFFIC_ROUTERS, gray.router)
        if not (plugin.options and plugin.observe and plugin.verdict):
            raise UsageError(
                f"the router '{gray.router}' of '{environment}' is driven, not observed",
                fix="remove 'rollout', or name the controller as the router",
            )
        options = plugin.options.model_validate(dict(gray.rollout or {}))
        return plugin.observe(options, self._project.root), plugin.verdict

    def _gray(self, environment: str) -> Gray:
        gray = self._project.delivery.environments[environment].gray
        if gray is None:
            raise UsageError(
                f"environment '{environment}' declares no gray release",
                fix="add 'gray' to it in delivery.yaml",
            )
        return gray


_EXTRAS = {"secrets": "build secrets", "cache": "a build cache"}


def _lacking(plugin: ImageBuilderPlugin, wanted: set[str]) -> str:
    """What is asked of a builder that cannot do it, as a clause."""
    missing = " and ".join(_EXTRAS[one] for one in sorted(wanted - plugin.supports, reverse=True))
    return f"the builder '{plugin.name}' cannot use {missing}, which takes BuildKit"


def open_iac(project: Project, folder: str | Sequence[str] | None) -> IacBranch:
    """The branch of a project's IaC repository, written as `iac.write` says.

    Arguments:
        folder: the application's folder in a repository of many, or several of them.
    """
    iac = project.delivery.iac
    if iac.write == "push":
        return open_branch(iac.repository, iac.branch, project.root, folder=folder)
    remote = open_gitlab_project(iac.repository, os.environ)
    if iac.write == "api":
        return GitLabBranch(remote, iac.branch)
    return MergeRequestBranch(remote, iac.branch, iac.merge_request, SystemClock())


def with_manifests(branch: IacBranch, projects: Sequence[Project]) -> IacBranch:
    """A branch that commits rendered manifests too, for those projects that want it.

    Arguments:
        projects: all that write to it.
    """
    wanting = {(one.delivery.iac.path or "").strip("/"): one for one in projects if one.delivery.iac.rendered}
    if not wanting:
        return branch
    return RenderedBranch(branch, {folder: _render_for(one) for folder, one in wanting.items()})


def _render_for(project: Project) -> Render:
    iac = project.delivery.iac
    label = f"{iac.path.strip('/')}/" if iac.path else ""
    how = installed_rendering(project.plugins, iac.rendered or "kubernetes", label=label)
    return lambda app, text, name: dump_documents(render_texts(app, {name: text}, how)[name])
