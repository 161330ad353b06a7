"""The room's opener: the branch of the IaC repository that a delivery names, written as it says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pipegraft.appspec.environment_file import environment_path
from pipegraft.appspec.rendering.yaml_output import dump_documents
from pipegraft.appspec.resources.binding import UNBOUND
from pipegraft.appspec.spec import resolve
from pipegraft.appspec.usecases.render import installed_rendering, render_texts
from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.delivery_file import DELIVERY_FILE, read_text
from pipegraft.core.plugins import hookimpl
from pipegraft.core.reading import load_marked
from pipegraft.core.stage import Opener, Project
from pipegraft.iac.adapters.git import open_branch
from pipegraft.iac.adapters.git.access import declared_identity
from pipegraft.iac.adapters.gitlab import GitLabBranch, open_gitlab_project
from pipegraft.iac.adapters.merge_request import MergeRequestBranch
from pipegraft.iac.adapters.renderers import installed_renderers
from pipegraft.iac.commit_message import in_words_of
from pipegraft.iac.ports.repository import IAC, RENDERERS, IacBranch, Renderer
from pipegraft.iac.rendered import RenderedApp, RenderedBranch

__all__ = ["open_iac", "with_manifests"]


def open_iac(project: Project, folder: str | Sequence[str] | None) -> IacBranch:
    """The branch of a project's IaC repository, written as `iac.write` says.

    Arguments:
        folder: the application's folder in a repository of many, or several of them.
    """
    iac = project.delivery.iac
    if iac.write == "push":
        variables = {**declared_identity(iac.commit), **os.environ}
        return open_branch(iac.repository, iac.branch, project.root, folder=folder, environment=variables)
    remote = open_gitlab_project(iac.repository, os.environ)
    author = iac.commit.author
    if iac.write == "api":
        return GitLabBranch(remote, iac.branch, author)
    return MergeRequestBranch(remote, iac.branch, iac.merge_request, SystemClock(), author)


def with_manifests(branch: IacBranch, projects: Sequence[Project]) -> RenderedBranch:
    """A branch that refuses environments that cannot be rendered, and commits manifests where wanted.

    Arguments:
        projects: all that write to it; what commits say is the same for all of them.
    """
    apps = {(one.delivery.iac.path or "").strip("/"): _rendered(one) for one in projects}
    return RenderedBranch(branch, apps, _words(projects[0]))


def _words(project: Project) -> Callable[[str], str]:
    """What turns a message into one as the project, or this process, wants it."""
    template, place = project.delivery.iac.commit.message, None
    if template:
        file = project.root / DELIVERY_FILE
        place = load_marked(read_text(file), str(file)).place(("iac", "commit", "message"))
    return in_words_of(template, os.environ, place)


def _rendered(project: Project) -> RenderedApp:
    iac = project.delivery.iac
    label = f"{iac.path.strip('/')}/" if iac.path else ""
    if iac.rendered is None:
        return RenderedApp(lambda app, text, name: _resolved(app, text, name, label), kept=False)
    how = installed_rendering(project.plugins, iac.rendered, label=label)
    return RenderedApp(
        lambda app, text, name: dump_documents(render_texts(app, {name: text}, how)[name]), kept=True
    )


def _resolved(app: str, text: str, environment: str, label: str) -> str:
    """Make sure that an engine could render it; who provides its resources is known there."""
    file = f"{label}{environment_path(None, environment)}"
    resolve(app, text, environment, app_file=f"{label}app.yaml", environment_file=file, platform=UNBOUND)
    return ""


def _open(project: Project) -> IacBranch:
    return with_manifests(open_iac(project, project.delivery.iac.path), [project])


def _renderers(_project: Project) -> Mapping[str, Renderer]:
    return installed_renderers()


@hookimpl
def pipegraft_openers() -> Iterable[Opener[..., Any]]:
    yield Opener(IAC, _open)
    yield Opener(RENDERERS, _renderers)
