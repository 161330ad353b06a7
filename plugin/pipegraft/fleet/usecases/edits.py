"""What a fleet's change does in one repository, told from its files alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from pipegraft import __version__
from pipegraft.appspec.environment_file import app_path, images_of, read_environment
from pipegraft.appspec.rendering.yaml_output import environment_of, rendered_path
from pipegraft.ci.hooks import CI_SYSTEMS, CiSystem, Injection, InjectionRequest, InjectOptions, pattern_of
from pipegraft.core.delivery import Delivery
from pipegraft.core.delivery_file import DELIVERY_FILE, parse_document
from pipegraft.core.errors import UsageError
from pipegraft.core.planning import every_stage, make_plan
from pipegraft.core.plugins import Plugins
from pipegraft.core.reading import load_marked
from pipegraft.fleet.ports import ForgeFiles, ForgeProject
from pipegraft.iac.commits import rendered_by_engines
from pipegraft.text.yaml import Put, apply

__all__ = ["Edit", "Editor", "Reader", "bumping", "ejecting", "injecting", "upgrading"]

_PINNED = re.compile(r"\S+@sha256:[0-9a-f]{64}")


class Reader:
    """The files of one project, each asked for once.

    Arguments:
        forge: where they are.
        project: whose they are.
    """

    def __init__(self, forge: ForgeFiles, project: ForgeProject) -> None:
        self.project = project
        self._forge = forge
        self._texts: dict[str, str | None] = {}
        self._paths: Sequence[str] | None = None

    def read(self, path: str) -> str | None:
        """Text of a file, None if there is none."""
        if path not in self._texts:
            self._texts[path] = self._forge.read(self.project, path)
        return self._texts[path]

    def find(self, pattern: str) -> Sequence[str]:
        """Files whose path matches a pattern with ``*`` and ``**``."""
        if self._paths is None:
            self._paths = self._forge.paths(self.project)
        wanted = pattern_of(pattern)
        return [path for path in self._paths if wanted.fullmatch(path)]


@dataclass(frozen=True, slots=True)
class Edit:
    """What becomes of a repository's files.

    Arguments:
        files: path → new text, None to delete; empty if it is as it should be.
        before: path → text of these files now.
        pinned: version of the templates that it takes now, None without delivery.
        skipped: why the change is none of this repository's business, empty if it is.
        title: what it does just here; the campaign's own words if empty.
    """

    files: Mapping[str, str | None] = field(default_factory=dict)
    before: Mapping[str, str | None] = field(default_factory=dict)
    pinned: str | None = None
    skipped: str = ""
    title: str = ""


Editor = Callable[[Reader], Edit]
"""Raises a `UsageError` where the change cannot be made."""


def injecting(plugins: Plugins, options: InjectOptions) -> Editor:
    """Graft delivery onto the pipeline, or bring the graft up to date."""
    stages = every_stage(plugins)
    templates = {system.name: system.templates(stages) for system in plugins.all(CI_SYSTEMS).values()}

    def edit(reader: Reader) -> Edit:
        delivery = reader.read(DELIVERY_FILE)
        if delivery is None:
            return Edit(skipped=f"it has no {DELIVERY_FILE}: `pipegraft init` writes one")
        found = _ci_file(reader, plugins)
        if found is None:
            if reason := _elsewhere(reader.project):
                return Edit(skipped=reason)
            raise UsageError(f"{reader.project.path} has no CI configuration", fix="add one first")
        system, file, text = found
        name = f"{reader.project.path}/{DELIVERY_FILE}"
        parsed = parse_document(delivery, name, Delivery)
        request = InjectionRequest(
            file=file,
            text=text,
            plan=make_plan(parsed, stages),
            options=options,
            version=f"v{__version__}",
            default_branch=reader.project.branch,
            templates=templates[system.name],
            read=reader.read,
            find=reader.find,
        )
        return _edit(reader, system.inject(request), system.pinned(file, text, reader.read))

    return edit


def ejecting(plugins: Plugins) -> Editor:
    """Take delivery out of the pipeline again."""

    def edit(reader: Reader) -> Edit:
        found = _ci_file(reader, plugins)
        if found is None:
            return Edit(skipped=_elsewhere(reader.project) or "it has no CI configuration")
        system, file, text = found
        pinned = system.pinned(file, text, reader.read)
        return _edit(reader, system.eject(file, text, reader.read), pinned)

    return edit


def upgrading(plugins: Plugins, version: str) -> Editor:
    """Raise the version of the templates that a pipeline takes.

    Arguments:
        version: a tag of the templates' project.
    """
    inject = injecting(plugins, InjectOptions(ref=version))

    def edit(reader: Reader) -> Edit:
        found = _ci_file(reader, plugins)
        if found is None:
            return Edit(skipped=_elsewhere(reader.project) or "it has no CI configuration")
        system, file, text = found
        pinned = system.pinned(file, text, reader.read)
        if pinned is None:
            return Edit(skipped="it carries no delivery")
        if pinned == "copies":
            return Edit(pinned=pinned, skipped="it holds copies of the templates: `fleet inject` renews them")
        same = pinned.removeprefix("v") == version.removeprefix("v")  # components' versions have no "v"
        return Edit(pinned=pinned) if same else inject(reader)

    return edit


def bumping(component: str, image: str, environments: Sequence[str]) -> Editor:
    """Pin a component's image in every environment file that pins it already.

    Arguments:
        image: reference by digest.
        environments: names of the environments to change; all if empty.

    Raises:
        UsageError: the image is not pinned by digest.
    """
    if not _PINNED.fullmatch(image):
        raise UsageError(
            f"expected an image pinned by digest, found '{image}'", fix="write NAME@sha256:… with 64 digits"
        )
    names = environments or ("*",)

    def edit(reader: Reader) -> Edit:
        files: dict[str, str | None] = {}
        before: dict[str, str | None] = {}
        for path in reader.find("**environments/*.yaml"):
            name = path.rpartition("/")[2].removesuffix(".yaml")
            if any(fnmatchcase(name, one) for one in names):
                text = reader.read(path) or ""
                new = _bumped(text, component, image, f"{reader.project.path}/{path}")
                before |= {path: text} if new is not None else {}
                if new is not None and new != text:
                    _refuse_unrendered(reader, path, new)
                    files[path] = new
        if not before:
            return Edit(skipped=f"no environment pins '{component}'")
        return Edit(files, {path: before[path] for path in files})

    return edit


def _bumped(text: str, component: str, image: str, file: str) -> str | None:
    """The environment file with the image; None if it does not pin the component."""
    if load_marked(text, file).data is None:
        return None
    held = read_environment(text, file)
    if component not in images_of(held):
        return None
    if held.gray:
        raise UsageError(f"{file}: a gray release is under way", fix="run this again when it has ended")
    return apply(text, [Put(("components", component, "image"), image)], file=file)


def _refuse_unrendered(reader: Reader, path: str, text: str) -> None:
    """Make sure that an environment can be rendered, and that no manifests have to change along."""
    folder, name = environment_of(path) or ("", "")
    if reader.read(rendered_path(folder, name)) is not None:
        raise UsageError(
            f"{path}: its manifests are committed with each change, and only its delivery.yaml says how they "
            "are rendered",
            fix=f"release the image there: pipegraft run iac-bump --env {name}",
        )
    app = reader.read(app_path(folder))
    if app is None:
        raise UsageError(f"{path}: there is no {app_path(folder)} to render it with", fix="commit it")
    rendered_by_engines(folder).render(app, text, name)


def _elsewhere(project: ForgeProject) -> str:
    """Why the CI configuration is not among a project's files, empty if it should be.

    GitLab, "Specify a custom CI/CD configuration file": a path, ``path@group/project`` or a URL.
    """
    outside = "@" in project.ci_file or "://" in project.ci_file
    return f"its CI configuration is elsewhere: {project.ci_file}" if outside else ""


def _ci_file(reader: Reader, plugins: Plugins) -> tuple[CiSystem, str, str] | None:
    """The CI system, its configuration's path and text; None if there is none."""
    for system in plugins.all(CI_SYSTEMS).values():
        own = system.files
        if system.name == "gitlab":
            own = () if _elsewhere(reader.project) else (reader.project.ci_file,)
        for file in own:
            text = reader.read(file)
            if text is not None:
                return system, file, text
    return None


def _edit(reader: Reader, made: Injection, pinned: str | None) -> Edit:
    return Edit(made.files, {path: reader.read(path) for path in made.files}, pinned)
