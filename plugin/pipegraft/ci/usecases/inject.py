"""Graft delivery onto the pipeline a repository has."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from pipegraft import __version__
from pipegraft.ci.hooks import CiSystem
from pipegraft.ci.model import Injection, InjectionRequest, Mode, TemplateSource
from pipegraft.ci.provision import check_packages
from pipegraft.ci.usecases.ci_files import Graft, find_ci_file, planned
from pipegraft.core.adapters.vcs_info import default_branch, ignored_files
from pipegraft.core.delivery import Delivery, Gray
from pipegraft.core.delivery_file import open_project
from pipegraft.core.errors import UsageError
from pipegraft.core.planning import every_stage, make_plan
from pipegraft.core.plugins import Plugins

__all__ = ["InjectOptions", "choose_source", "longest", "plan_injection"]


_VERSION = f"v{__version__}"


@dataclass(frozen=True, slots=True)
class InjectOptions:
    """What a user may ask for; see `InjectionRequest`.

    Arguments:
        ci: name of the CI system, if the file's name does not tell.
        verify: URL of the project whose CI server is to be asked.
    """

    ci: str | None = None
    source: TemplateSource | None = None
    ref: str | None = None
    mode: Mode | None = None
    after: str | None = None
    image: str | None = None
    tags: tuple[str, ...] | None = None
    packages: str | None = None
    branch: str | None = None
    verify: str | None = None


def choose_source(
    *,
    project: str | None = None,
    url: str | None = None,
    component: str | None = None,
    local: bool = False,
    ref: str | None = None,
) -> TemplateSource | None:
    """Where the templates come from, of what was asked for; None if nothing was.

    Raises:
        UsageError: more than one place was named, or something that is none.
    """
    if sum((project is not None, url is not None, component is not None, local)) > 1:
        raise UsageError(
            "the templates come from one place",
            fix="give one of --from-project, --from-component, --from-url, --local",
        )
    if project is not None and not re.fullmatch(r"[\w./$-]+", project):
        raise UsageError(
            f"expected the path of a project on the same server, found {project!r}",
            fix="write --from-project GROUP/PROJECT",
        )
    if url is not None and not re.fullmatch(r"(https?://|\$)\S+", url):
        raise UsageError(f"expected a URL, found {url!r}", fix="write --from-url https://…")
    if component is not None:
        return _component(component, ref)
    pin = ref or _VERSION
    if project is not None:
        return TemplateSource("project", project.strip("/"), pin)
    if url is not None:
        return TemplateSource("remote", url, pin)
    return TemplateSource("local") if local else None


def _component(written: str, ref: str | None) -> TemplateSource:
    """A project of components; the catalog's versions are semantic versions without a "v"."""
    place, _, version = written.partition("@")
    if not re.fullmatch(r"[\w.$-]+(:\d+)?(/[\w.$-]+)+", place):
        raise UsageError(
            f"expected the address of a project of components, found {written!r}",
            fix="write --from-component gitlab.example.com/GROUP/PROJECT@VERSION",
        )
    return TemplateSource("component", place, ref or version or __version__)


def plan_injection(path: Path, plugins: Plugins, options: InjectOptions | None = None) -> Graft:
    """Plan it; nothing is written before `Graft.write`.

    Arguments:
        path: the repository's folder, or its CI configuration.
        plugins: stages and CI systems.
        options: what was asked for.

    Raises:
        UsageError: no configuration, no ``delivery.yaml``, or a graft that cannot be made exactly.
    """
    wanted = options or InjectOptions()
    ci = find_ci_file(path, plugins, wanted.ci)
    project = open_project(ci.root, plugins)
    stages = every_stage(plugins)
    request = InjectionRequest(
        file=ci.name,
        text=ci.text(),
        plan=make_plan(project.delivery, stages),
        source=wanted.source,
        ref=wanted.ref,
        version=_VERSION,
        mode=wanted.mode,
        after=wanted.after,
        image=wanted.image,
        tags=wanted.tags,
        packages=_checked(wanted.packages),
        branch=wanted.branch,
        default_branch=default_branch(ci.root),
        longest=longest(project.delivery),
        templates=ci.system.templates(stages),
        read=ci.read,
        find=ci.find,
    )
    injection = ci.system.inject(request)
    graft = replace(planned(ci, injection), verified=_verify(request, injection, ci.system, wanted.verify))
    names = {one.stage for one in request.plan.stages}
    requires = dict.fromkeys(need for stage in stages if stage.name in names for need in stage.requires)
    written = [name for name, text in graft.injection.files.items() if text is not None]
    return replace(graft, requires=tuple(requires), ignored=ignored_files(ci.root, written))


def _checked(packages: str | None) -> str | None:
    if packages is not None:
        check_packages(packages)
    return packages


def longest(delivery: Delivery) -> float:
    """The longest that a delivery may take by its own limits, in seconds: every gate and every gray step."""
    return sum(
        environment.gate.timeout + _longest_gray(environment.gray, environment.gate.timeout)
        for environment in delivery.environments.values()
    )


def _longest_gray(gray: Gray | None, gate: float) -> float:
    if gray is None:
        return 0.0
    return gray.longest + (0.0 if gray.rollout is not None else len(gray.steps) * gate)


def _verify(request: InjectionRequest, injection: Injection, system: CiSystem, project: str | None) -> str:
    if project is None:
        return ""
    if system.verify is None:
        raise UsageError(f"{system.name} has no server to ask", fix="leave out --verify")
    return system.verify(request, injection, project, os.environ)
