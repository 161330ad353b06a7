"""Looks at a source repository: components, ports, variables, resources, pipelines, each with its source."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from pipegraft.appspec.importing.builds import (
    GENERIC,
    Found,
    Tree,
    find_services,
    is_ours,
    name_of_folder,
    pipelines_in,
)
from pipegraft.appspec.importing.compose import ComposeService, named_ports, read_compose
from pipegraft.appspec.importing.kubernetes import manifests_in
from pipegraft.appspec.importing.taking import is_outside, name_from, numbered
from pipegraft.core.errors import ConfigError
from pipegraft.core.reading import load_marked
from pipegraft.images.dockerfile import exposed_ports
from pipegraft.images.hooks import DOCKERFILE

__all__ = ["FoundComponent", "FoundResource", "Survey", "Tree", "survey"]

_COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_LANGUAGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "package.json": ("JavaScript", ("node", ".")),
    "pyproject.toml": ("Python", ("python3", "-m", "app")),
    "requirements.txt": ("Python", ("python3", "-m", "app")),
    "go.mod": ("Go", ("./app",)),
    "Cargo.toml": ("Rust", ("./app",)),
    "pom.xml": ("Java", ("java", "-jar", "app.jar")),
    "build.gradle": ("Java", ("java", "-jar", "app.jar")),
    "build.gradle.kts": ("Kotlin", ("java", "-jar", "app.jar")),
    "composer.json": ("PHP", ("php", "-S", "0.0.0.0:8080")),
    "Gemfile": ("Ruby", ("ruby", "app.rb")),
}
"""File that gives a language away → the language, and a guess at what runs."""
_SERVICE_FOLDERS = ("services", "apps", "cmd", "components", "sidecars", "packages")
"""Folders that usually hold one service each."""
_OVERRIDES = tuple(name.replace(".y", ".override.y") for name in _COMPOSE)
"""Files that Compose reads beside the first on developers' machines."""
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class FoundComponent:
    """Something that is built and runs.

    Arguments:
        path: folder of its sources.
        why: what gave it away, for people.
        ports: what it listens on, by name.
        command: what it runs, for one without a Dockerfile; a guess.
        public: whether requests from outside go to it.
        dockerfile: whether its folder says how to build it.
        built_by: the Dockerfile that a Compose file names for it.
        build_keys: how a Compose file has it built, by the keys of `delivery.yaml`.
        traits: what else a Compose file says of it, by the keys of an app spec.
    """

    name: str
    path: str
    why: str
    ports: Mapping[str, int] = field(default_factory=dict)
    env: Mapping[str, str | None] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    public: bool = False
    dockerfile: bool = True
    built_by: str = ""
    build_keys: Mapping[str, Any] = field(default_factory=dict)
    traits: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoundResource:
    """Something that is used and not built; `hosts` are the names by which others reach it."""

    name: str
    hosts: tuple[str, ...]
    type: str
    why: str
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found.

    Arguments:
        pipelines: CI configurations, as `pipegraft inject` takes them.
        left: what was seen and is not carried over, one sentence each.
    """

    components: tuple[FoundComponent, ...]
    resources: tuple[FoundResource, ...]
    pipelines: tuple[str, ...]
    left: tuple[str, ...]


def survey(tree: Tree, app: str) -> Survey:
    """Look at a repository.

    Arguments:
        app: the application's name, for a component at the root.
    """
    left: list[str] = []
    services: list[ComposeService] = []
    composed = next((name for name in _COMPOSE if name in tree.files), None)
    if composed:
        try:
            data = load_marked(tree.read(composed) or "", composed).data
            services, beside = read_compose(data, composed, tree.text)
            left += beside
        except ConfigError as error:
            left.append(f"{error.problems[0]}")
    resources = tuple(
        FoundResource(name_from(one.name), one.hosts, one.resource, f"{composed}: {one.image}", one.params)
        for one in services
        if one.resource
    )
    kept = [one for one in services if not _left_out(one, composed or "", left)]
    left += (line for one in kept if one.resource for line in one.left)
    spare = {_dockerfile_of(one) for one in services if one not in kept}
    running = Tree([name for name in tree.files if name not in spare], tree.read)
    components = list(_composed(tree, kept, composed or "", left))
    services_of_tools = find_services(tree)
    programs = [one for one in services_of_tools if one.runs]
    components += _built(running, app, components, programs, left)
    if not components:
        components += _of_tools(programs, app) or _written(tree, app)
    left += _uncovered(services_of_tools, components, app)
    for one in kept:
        if one.build is None and not one.resource:
            left += _not_built(one, components, services_of_tools, composed or "")
    left += (f"{name}: for developers' machines" for name in _OVERRIDES if name in tree.files)
    left += _hard_coded(resources, components)
    left += manifests_in(tree)
    named = tuple(_named_apart(components))
    return Survey(named, resources, tuple(pipelines_in(tree)), tuple(left))


def _left_out(one: ComposeService, composed: str, left: list[str]) -> bool:
    """Whether a service is none that runs for good; says why."""
    if one.profiles:
        names = ", ".join(one.profiles)
        left.append(f"{composed}: service {one.name}: of the profile {names}: it runs on demand")
    elif one.ends:
        left.append(f"{composed}: service {one.name}: a job, for whose end others wait")
    return bool(one.profiles or one.ends)


def _not_built(
    one: ComposeService, components: list[FoundComponent], tools: Sequence[Found], composed: str
) -> Iterator[str]:
    """A service of an image; it tells more of the component that has its name, whose image a tool builds."""
    for at, known in enumerate(components):
        if known.name == name_from(one.name) and not known.env and not known.traits:
            why = f"{known.why}; {composed}: service '{one.name}'"
            ports, public = known.ports or one.ports, one.published
            components[at] = replace(
                known, why=why, ports=ports, env=one.env, public=public, traits=one.traits
            )
            yield from one.left
            return
    image = posixpath.basename(one.image.partition("@")[0]).partition(":")[0]
    module = next((tool.path for tool in tools if image in (tool.name, posixpath.basename(tool.path))), "")
    runs = f"runs {one.image}, which is not built here" if one.image else "only the shell knows what it runs"
    if module:
        runs = f"runs {one.image}, which its build tool may make of {module}; name that in `components`"
    naming = [
        f"{known.name} ({variable})"
        for known in components
        for variable, value in known.env.items()
        if any(re.search(rf"(?<![\w.-]){re.escape(host)}(?![\w.-])", value or "") for host in one.hosts)
    ]
    named = f"; it is named by {', '.join(naming)}" if naming else ""
    yield f"{composed}: service {one.name}: {runs}{named}"


def _hard_coded(resources: Sequence[FoundResource], components: Sequence[FoundComponent]) -> Iterator[str]:
    """Host names that no variable tells: what is in the sources must learn them otherwise."""
    told = "\n".join(value or "" for one in components for value in one.env.values())
    for resource in resources:
        if not any(re.search(rf"(?<![\w.-]){re.escape(host)}(?![\w.-])", told) for host in resource.hosts):
            output = "endpoint" if resource.type == "bucket" else "host"
            yield (
                f"host name '{resource.hosts[0]}': no variable names it, it may stand in the sources; "
                f"let a variable tell ${{resources.{resource.name}.{output}}}"
            )


def _uncovered(services: Sequence[Found], components: Sequence[FoundComponent], app: str) -> Iterator[str]:
    """Programs that no component holds, and those built with others into one that runs a single program."""
    folders = {
        one.name: posixpath.dirname(one.built_by) or "." if one.built_by else one.path for one in components
    }
    inside: dict[str, list[str]] = {}
    for one in services:
        name = name_from(one.name or app)
        if name in folders:
            inside.setdefault(name, []).append(name)
        elif not one.runs:
            yield f"{one.why}: name '{name}' in `components` if it runs"
        elif holders := [at for at, path in folders.items() if _holds(path, one.path)]:
            inside.setdefault(max(holders, key=lambda at: len(folders[at])), []).append(name)
        elif not any(_holds(one.path, path) for path in folders.values()):
            yield f"{one.why}: '{name}' has no Dockerfile; name it in `components` if it runs"
    for component, names in inside.items():
        if others := [name for name in names if name != component] if len(names) > 1 else []:
            yield f"{', '.join(others)}: built with '{component}'; name in `components` what else it runs"


def _holds(folder: str, inner: str) -> bool:
    return folder in (".", inner) or inner.startswith(f"{folder}/")


def _composed(
    tree: Tree, services: Sequence[ComposeService], composed: str, left: list[str]
) -> Iterator[FoundComponent]:
    """Components that a Compose file builds."""
    for one in services:
        if one.build is None:
            continue
        path = posixpath.normpath(one.build)
        if is_outside(one.build):
            left.append(one.built_outside())
            continue
        dockerfile = str(one.build_keys.get("dockerfile", DOCKERFILE))
        if is_outside(dockerfile):
            left.append(
                f"{composed}: service {one.name}: '{dockerfile}' is outside of its context '{one.build}';"
                " name a `context` that holds both"
            )
            continue
        left += one.left
        file = _dockerfile_of(one)
        entrypoint, command = one.entrypoint, one.command
        shares = any(other is not one and _dockerfile_of(other) == file for other in services)
        ports = one.ports or ({} if shares and (entrypoint or command) else _exposed(tree, file))
        if file not in tree.files:  # its image says itself what runs
            entrypoint, command = (*entrypoint, *command) or _usual_command(tree, path), ()
        yield FoundComponent(
            name_from(one.name),
            path,
            f"{composed}: service '{one.name}'",
            ports,
            one.env,
            entrypoint,
            command,
            one.published,
            file in tree.files,
            file,
            one.build_keys,
            one.traits,
        )


def _dockerfile_of(one: ComposeService) -> str:
    """The file that a service is built from."""
    dockerfile = str(one.build_keys.get("dockerfile", DOCKERFILE))
    return posixpath.normpath(posixpath.join(one.build or ".", dockerfile))


def _built(
    tree: Tree, app: str, composed: Sequence[FoundComponent], services: Sequence[Found], left: list[str]
) -> Iterator[FoundComponent]:
    """Components that have a Dockerfile; where a Compose file builds others, the root is none."""
    known = {one.path for one in composed}
    used = {one.built_by for one in composed}
    homes = {posixpath.dirname(one) for one in used} - {""}
    files = [one for one in sorted(tree.files) if _is_dockerfile(posixpath.basename(one)) and one not in used]
    for file in files:
        folder, name = posixpath.split(file)
        path = folder or "."
        if not is_ours(folder) or (name == "Dockerfile" and (path in known or (path == "." and composed))):
            continue
        if home := next((one for one in homes if _holds(one, path)), ""):
            left.append(f"{file}: beside what the Compose file builds of {home}; name it if it runs")
            continue
        generic = path != "." and folder.split("/")[-1].lower() in GENERIC
        odd = generic and bool(services) and not any(_holds(path, one.path) for one in services)
        called, context = name_from(name_of_folder(folder, app)), path
        label = name_from(re.sub(r"\.?Dockerfile\.?", "", name, flags=re.IGNORECASE), "")
        if label and any(
            name_from(one.name or app) == label and not _holds(path, one.path) for one in services
        ):
            called, context = label, "."
        elif name != "Dockerfile" or odd or folder.count("/") >= _DEEPEST:
            holder = next((one for one in services if _holds(one.path, path) and one.path not in known), None)
            if holder is None or sum(_holds(holder.path, one) for one in files) > 1:
                left.append(f"{file}: which component it builds is not known; name it with `dockerfile`")
                continue
            called, context = name_from(holder.name or app), holder.path
        elif _is_aside(tree, path, called, services):
            context = "."
        known.add(path)
        keys = {} if context == path else {"dockerfile": posixpath.relpath(file, context)}
        known.add(context if context != "." else path)
        yield FoundComponent(called, context, file, _exposed(tree, file), built_by=file, build_keys=keys)


def _is_aside(tree: Tree, folder: str, called: str, services: Sequence[Found]) -> bool:
    """Whether a folder holds a Dockerfile alone, of a program whose sources lie elsewhere."""
    beside = [one for one in tree.files if _holds(folder, posixpath.dirname(one) or ".")]
    elsewhere = [one for one in services if name_from(one.name) == called and not _holds(folder, one.path)]
    return folder != "." and len(beside) == 1 and bool(elsewhere)


def _is_dockerfile(name: str) -> bool:
    named = name.startswith("Dockerfile") or name.lower().endswith(".dockerfile")
    return named and not name.endswith(".dockerignore")


def _of_tools(services: Sequence[Found], app: str) -> list[FoundComponent]:
    """Components that a build tool knows, without Dockerfiles."""
    return [
        FoundComponent(
            name_from(one.name or app),
            one.path,
            one.why,
            one.traits.get("ports", {}),
            command=one.command,
            dockerfile=False,
            traits=one.traits,
        )
        for one in services
    ]


def _written(tree: Tree, app: str) -> Iterator[FoundComponent]:
    """Components without Dockerfiles: the root, or folders that each hold a service."""
    found = list(_manifests(tree))
    inner = [one for one in found if one[0] != "."]
    for path, file in inner or found:
        language, command = _LANGUAGES[posixpath.basename(file)]
        name = name_from(name_of_folder(path, app))
        yield FoundComponent(name, path, f"{file}: {language}", command=command, dockerfile=False)


def _usual_command(tree: Tree, path: str) -> tuple[str, ...]:
    """A guess at what runs, by the file that gives the language away."""
    names = (name for name in _LANGUAGES if posixpath.normpath(posixpath.join(path, name)) in tree.files)
    return next((_LANGUAGES[name][1] for name in names), ())


def _manifests(tree: Tree) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for file in sorted(tree.files):
        folder, name = posixpath.split(file)
        path = folder or "."
        parts = folder.split("/") if folder else []
        usual = not parts or (len(parts) == 2 and parts[0] in _SERVICE_FOLDERS)
        if name in _LANGUAGES and usual and path not in seen:
            seen.add(path)
            yield path, file


def _exposed(tree: Tree, dockerfile: str) -> dict[str, int]:
    return named_ports(exposed_ports(tree.read(dockerfile) or ""))


def _named_apart(components: Sequence[FoundComponent]) -> Iterator[FoundComponent]:
    """Names that two folders share get their parents' in front."""
    taken: set[str] = set()
    for one in components:
        names = (one.name, name_from(one.path.replace("/", "-")), *islice(numbered(one.name), len(taken) + 2))
        name = next(free for free in names if free not in taken)
        taken.add(name)
        yield replace(one, name=name)
