"""What the room opens: the IaC branch, written as the delivery says; and what doctor asks of it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pipegraft.appspec.rendering.yaml_output import dump_documents
from pipegraft.appspec.usecases.render import installed_rendering, render_texts
from pipegraft.core.adapters.git_command import GitCommand
from pipegraft.core.adapters.gitlab_requests import translated
from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.delivery_file import DELIVERY_FILE, read_text
from pipegraft.core.doctor import Diagnosis, Examination, Health, Patient
from pipegraft.core.errors import UsageError
from pipegraft.core.plugins import hookimpl
from pipegraft.core.reading import load_marked
from pipegraft.core.stage import Opener, Project
from pipegraft.iac.adapters.git import GitBranch, open_branch
from pipegraft.iac.adapters.git.access import declared_identity
from pipegraft.iac.adapters.gitlab import (
    GitLabBranch,
    MergeRequestBranch,
    open_gitlab_project,
    or_none,
)
from pipegraft.iac.adapters.renderers import installed_renderers
from pipegraft.iac.commits import RenderedApp, RenderedBranch, in_words_of, rendered_by_engines
from pipegraft.iac.plan import try_release
from pipegraft.iac.ports import IAC, RENDERERS, CommitFiles, IacBranch, Renderer

__all__ = [
    "examine_gitlab",
    "examine_repository",
    "examine_targets",
    "open_iac",
    "pipegraft_examinations",
    "with_manifests",
]


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
    iac, folder = project.delivery.iac, (project.delivery.iac.path or "").strip("/")
    if iac.rendered is None:
        return rendered_by_engines(folder)
    how = installed_rendering(project.plugins, iac.rendered, label=f"{folder}/" if folder else "")
    return RenderedApp(
        lambda app, text, name: dump_documents(render_texts(app, {name: text}, how)[name]), kept=True
    )


_OLDEST = (2, 34)
"""The first version that signs with SSH keys; older ones fetch and push as well."""


def examine_repository(patient: Patient, _subject: str) -> Iterator[Diagnosis]:
    """The program, then the branch: its tip is read, and a push that changes nothing is tried, not done."""
    yield _program()
    yield from _key_files(patient)
    iac, branch = patient.delivery.iac, patient.open(IAC)
    subject = f"IaC branch {iac.branch}"
    tip = branch.tip()
    yield Diagnosis(subject, Health.GOOD, f"can be read: it is at {tip[:12]}")
    path = f"{iac.path.rstrip('/')}/app.yaml" if iac.path else "app.yaml"
    by_targets = all(one.targets for one in patient.delivery.environments.values())
    if not by_targets and branch.read(path, tip) is None:
        yield Diagnosis(
            subject,
            Health.WRONG,
            f"{path} is not there",
            "add the app spec, or correct 'iac.path' in delivery.yaml",
        )
    written = branch.branch if isinstance(branch, RenderedBranch) else branch
    if isinstance(written, GitBranch):
        written.try_push()
        yield Diagnosis(subject, Health.GOOD, "takes pushes; whether it is protected only a real one tells")


def _targeted(patient: Patient) -> Sequence[str]:
    return tuple(name for name, one in patient.delivery.environments.items() if one.targets)


def examine_targets(patient: Patient, environment: str) -> Iterator[Diagnosis]:
    """Whether the files that `targets` names are there, take an image, and are rendered with it.

    A release of the declared components is written into them as iac-bump would, with digests that no image
    has; nothing is committed.
    """
    branch, subject = patient.open(IAC), f"targets of {environment}"
    files = CommitFiles(branch, branch.tip())
    try:
        effects = try_release(files, patient.delivery, environment, patient.open(RENDERERS))
    except UsageError as error:
        for problem in error.problems:
            place = problem.place or environment
            yield Diagnosis(subject, Health.WRONG, f"{place}: {problem.message}", problem.fix)
        return
    for effect in effects:
        health = Health.GOOD if effect.proven else Health.NOTE
        yield Diagnosis(subject, health, str(effect), "" if effect.proven else _PROVE)


_PROVE = "install helm or kustomize, or name 'source' of the target, so that a bump can be proven"


def _program() -> Diagnosis:
    program = shutil.which("git")
    if program is None:
        return Diagnosis("git", Health.WRONG, "it is not installed", "install git in the job's image")
    said = GitCommand().run("--version").text
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < _OLDEST:
        wanted = ".".join(map(str, _OLDEST))
        return Diagnosis(
            "git", Health.NOTE, f"{said}: too old to sign with SSH keys", f"install git {wanted} or newer"
        )
    return Diagnosis("git", Health.GOOD, said)


def _key_files(patient: Patient) -> Iterator[Diagnosis]:
    """Files of keys that variables name."""
    for variable in ("PIPEGRAFT_IAC_SSH_KEY", "PIPEGRAFT_SIGNING_KEY"):
        named = patient.environment.get(variable, "")
        if "/" not in named:
            continue
        path = Path(named)
        if not path.is_file() or not os.access(path, os.R_OK):
            yield Diagnosis(
                variable,
                Health.WRONG,
                "the file it names is not there",
                "set it to the path of a private key's file",
            )
        elif path.stat().st_mode & 0o077:
            yield Diagnosis(
                variable, Health.WRONG, "others may read the file it names", "chmod 600 it: ssh refuses it"
            )
        else:
            yield Diagnosis(variable, Health.GOOD, "the file it names is there, and nobody else may read it")


_DEVELOPER = 30
_SOON = 14
"""Days before its end at which a token is worth a word."""


def _not_pushed(patient: Patient) -> Sequence[str]:
    return () if patient.delivery.iac.write == "push" else ("",)


def examine_gitlab(patient: Patient, _subject: str) -> Iterator[Diagnosis]:
    """Version of the server, scopes and end of the token, and the role it has in the project.

    Sources: GitLab's REST API, "Version", "Personal access tokens" (self) and "Projects".
    """
    project = open_gitlab_project(patient.delivery.iac.repository, patient.environment)
    client, name = project.manager.gitlab, str(project.encoded_id).replace("%2F", "/")
    with translated(name):
        version = client.http_get("/version")
        token: Any = or_none(lambda: client.http_get("/personal_access_tokens/self"))
        held: Any = client.http_get(f"/projects/{project.encoded_id}")
    known = version.get("version", "unknown") if isinstance(version, Mapping) else "unknown"
    yield Diagnosis("GitLab API", Health.GOOD, f"answers: version {known}")
    if isinstance(token, Mapping):
        yield from _token(token, datetime.fromtimestamp(patient.clock.now(), UTC).date())
    yield _role(held, name)


def _token(token: Mapping[str, Any], today: date) -> Iterator[Diagnosis]:
    subject, scopes = "PIPEGRAFT_IAC_TOKEN", token.get("scopes") or []
    if "api" not in scopes:
        said = ", ".join(map(str, scopes)) or "none"
        yield Diagnosis(
            subject,
            Health.WRONG,
            f"its scopes are {said}",
            "make a project access token with the scope 'api'",
        )
    else:
        yield Diagnosis(subject, Health.GOOD, "has the scope 'api'")
    if ends := token.get("expires_at"):
        left = (date.fromisoformat(str(ends)) - today).days
        if left < _SOON:
            health = Health.WRONG if left < 0 else Health.NOTE
            yield Diagnosis(subject, health, f"it ends on {ends}", "rotate it, and set the CI variable anew")


def _role(held: Mapping[str, Any], name: str) -> Diagnosis:
    permissions = held.get("permissions") or {}
    levels = [
        (permissions.get(kind) or {}).get("access_level", 0) for kind in ("project_access", "group_access")
    ]
    if held.get("archived"):
        return Diagnosis(
            name, Health.WRONG, "the project is archived", "name another project in 'iac.repository'"
        )
    if max(levels) < _DEVELOPER:
        return Diagnosis(
            name, Health.WRONG, "the token's role may not write", "give it the role Developer, or Maintainer"
        )
    return Diagnosis(name, Health.GOOD, "the token's role may write")


def _open(project: Project) -> IacBranch:
    return with_manifests(open_iac(project, project.delivery.iac.path), [project])


def _renderers(_project: Project) -> Mapping[str, Renderer]:
    return installed_renderers()


@hookimpl
def pipegraft_openers() -> Iterable[Opener[..., Any]]:
    yield Opener(IAC, _open)
    yield Opener(RENDERERS, _renderers)


@hookimpl
def pipegraft_examinations() -> Iterable[Examination]:
    yield Examination("targets", "The files that 'targets' name are there.", examine_targets, _targeted)
    yield Examination(
        "iac-repository", "The IaC repository can be read and pushed to.", examine_repository, limit=40.0
    )
    yield Examination(
        "gitlab-api", "GitLab takes the token, and the token may write.", examine_gitlab, _not_pushed
    )
