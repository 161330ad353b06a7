"""The room's opener: the branch of the IaC repository that a delivery names, written as it says."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from pipegraft.appspec.rendering.yaml_output import dump_documents
from pipegraft.appspec.usecases.render import installed_rendering, render_texts
from pipegraft.core.adapters.clock import SystemClock
from pipegraft.core.plugins import hookimpl
from pipegraft.core.project import Project
from pipegraft.core.stage import Opener
from pipegraft.iac.adapters.forge.gitlab import GitLabBranch, open_gitlab_project
from pipegraft.iac.adapters.forge.merge_request import MergeRequestBranch
from pipegraft.iac.adapters.git import open_branch
from pipegraft.iac.ports.repository import IAC, IacBranch
from pipegraft.iac.rendered import Render, RenderedBranch

__all__ = ["open_iac", "with_manifests"]


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


def _open(project: Project) -> IacBranch:
    return with_manifests(open_iac(project, project.delivery.iac.path), [project])


@hookimpl
def pipegraft_openers() -> Iterable[Opener[..., Any]]:
    yield Opener(IAC, _open)
