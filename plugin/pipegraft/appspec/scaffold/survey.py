"""Looks at a source repository: components, ports, variables, resources, pipelines, each with its source."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipegraft.appspec.scaffold.compose import ComposeService, read_compose
from pipegraft.images.dockerfile import exposed_ports

__all__ = ["FoundComponent", "FoundResource", "Survey", "Tree", "name_from", "survey"]

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
_NOT_OURS = ("test", "tests", "example", "examples", "docs", ".devcontainer", ".github", ".gitlab")
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Tree:
    """A repository's files.

    Arguments:
        files: paths relative to its root.
        read: text of a file, None if it is not text.
    """

    files: Sequence[str]
    read: Callable[[str], str | None]


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


@dataclass(frozen=True, slots=True)
class FoundResource:
    """Something that is used and not built; `host` is what the Compose file calls it."""

    name: str
    host: str
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


def name_from(text: str, fallback: str = "app") -> str:
    """A name as Pipegraft wants it, as close to a text as that goes."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return re.sub(r"^[0-9-]+", "", name)[:40].strip("-") or fallback


def survey(tree: Tree, app: str) -> Survey:
    """Look at a repository.

    Arguments:
        app: the application's name, for a component at the root.
    """
    left: list[str] = []
    services: list[ComposeService] = []
    composed = next((name for name in _COMPOSE if name in tree.files), None)
    if composed:
        services, complaints = read_compose(tree.read(composed) or "", composed)
        left += complaints
    resources = tuple(
        FoundResource(name_from(one.name), one.name, one.resource, f"{composed}: {one.image}", one.params)
        for one in services
        if one.resource
    )
    components = list(_composed(tree, services, composed or "", left))
    components += _built(tree, app, {one.path for one in components}, bool(components))
    if not components:
        components += _written(tree, app)
    for one in services:
        if one.build is None and not one.resource:
            left.append(f"{composed}: service '{one.name}' runs {one.image}, which is not built here")
    pipelines = tuple(name for name in (".gitlab-ci.yml", "Jenkinsfile") if name in tree.files)
    return Survey(tuple(_named_apart(components)), resources, pipelines, tuple(left))


def _composed(
    tree: Tree, services: Sequence[ComposeService], composed: str, left: list[str]
) -> Iterator[FoundComponent]:
    """Components that a Compose file builds."""
    for one in services:
        if one.build is None:
            continue
        path = posixpath.normpath(one.build)
        if path.startswith(("..", "/")):
            left.append(
                f"{composed}: service '{one.name}' is built outside of the repository, in '{one.build}'"
            )
            continue
        if one.dockerfile not in (None, "Dockerfile"):
            left.append(f"{composed}: service '{one.name}': '{one.dockerfile}' must be called Dockerfile")
        ports = one.ports or _exposed(tree, path)
        yield FoundComponent(
            name_from(one.name),
            path,
            f"{composed}: service '{one.name}'",
            ports,
            one.env,
            one.entrypoint,
            one.command,
            one.published,
            f"{path}/Dockerfile".removeprefix("./") in tree.files,
        )


def _built(tree: Tree, app: str, known: set[str], composed: bool) -> Iterator[FoundComponent]:
    """Components that have a Dockerfile; where a Compose file builds others, the root is none."""
    for file in sorted(tree.files):
        folder, name = posixpath.split(file)
        path = folder or "."
        parts = folder.split("/") if folder else []
        if name != "Dockerfile" or path in known or len(parts) > _DEEPEST or set(parts) & set(_NOT_OURS):
            continue
        if path == "." and composed:
            continue
        yield FoundComponent(name_from(parts[-1] if parts else app), path, file, _exposed(tree, path))


def _written(tree: Tree, app: str) -> Iterator[FoundComponent]:
    """Components without Dockerfiles: the root, or folders that each hold a service."""
    found = list(_manifests(tree))
    inner = [one for one in found if one[0] != "."]
    for path, file in inner or found:
        language, command = _LANGUAGES[posixpath.basename(file)]
        name = name_from(posixpath.basename(path) if path != "." else app)
        yield FoundComponent(name, path, f"{file}: {language}", command=command, dockerfile=False)


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


def _exposed(tree: Tree, path: str) -> dict[str, int]:
    text = tree.read(posixpath.normpath(posixpath.join(path, "Dockerfile")))
    ports = exposed_ports(text) if text else ()
    if len(ports) == 1:
        return {"http": ports[0]}
    return {f"port-{number}": number for number in ports}


def _named_apart(components: Sequence[FoundComponent]) -> Iterator[FoundComponent]:
    """Names that two folders share get their parents' in front."""
    taken: set[str] = set()
    for one in components:
        name = one.name
        if name in taken:
            name = name_from(one.path.replace("/", "-"))
        number = 2
        while name in taken:
            name = f"{one.name}-{number}"
            number += 1
        taken.add(name)
        yield replace(one, name=name)
