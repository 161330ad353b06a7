"""What signals need: jobs by what they run, places in `delivery.yaml`, what plain manifests say.

And whether dependencies are the same tomorrow: by a lock file, or by versions pinned one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

import yaml

from pipegraft.core.errors import PipegraftError, Place
from pipegraft.core.reading import Route, load_marked, refuse_deep
from pipegraft.images.dockerfile import Instruction, instructions
from pipegraft.maturity.model import Answer, Evidence, Finding, Job, Repository, Tree, absent, no, unseen, yes
from pipegraft.text.yaml import Put, apply
from pipegraft.text.yaml.values import Value

__all__ = [
    "DELIVERY",
    "NO_CI",
    "NO_DELIVERY",
    "NO_IAC",
    "Container",
    "Manifests",
    "Sync",
    "aside",
    "at_job",
    "at_line",
    "commands",
    "dependencies_locked",
    "dockerfiles",
    "each",
    "in_delivery",
    "jobs",
    "jobs_that_run",
    "manifests",
    "nothing_delivered",
    "put",
    "stage_jobs",
]

DELIVERY = "delivery.yaml"
NO_CI = "there is no CI configuration"
NO_DELIVERY = "there is no valid delivery.yaml"
NO_IAC = "the IaC repository cannot be read from here"


_ASIDE = re.compile(
    r"(^|/)(tests?|testdata|fixtures|spec|__tests__|node_modules|vendor|docs?|examples?|third_party)/"
)


def aside(path: str) -> bool:
    """Whether a file is none that is delivered: a test's, an example's, somebody else's."""
    return _ASIDE.search(path) is not None


def jobs(repository: Repository) -> Sequence[Job]:
    """The jobs of the CI configuration; none if it cannot be read."""
    return repository.ci.jobs if repository.ci else ()


def at_job(job: Job, text: str = "") -> Evidence:
    """Where a job is written."""
    return Evidence(job.place, text or job.name)


def at_line(path: str, line: int, text: str) -> Evidence:
    """A line of a file."""
    return Evidence(Place(path, line), text[:160])


def jobs_that_run(repository: Repository, pattern: str) -> list[tuple[Job, str]]:
    """Jobs with the first of their commands that a regular expression finds; comments do not count."""
    compiled = re.compile(pattern)
    found: list[tuple[Job, str]] = []
    for job in jobs(repository):
        line = next((line for line in commands(job) if compiled.search(line)), None)
        if line is not None:
            found.append((job, line))
    return found


def commands(job: Job) -> Iterator[str]:
    """What a job runs, without comments and without what is only printed."""
    for line in job.commands:
        text = re.sub(r"(^|\s)#.*$", "", line).strip()
        if text and not re.match(r"(echo|printf)\b[^&|;]*$", text):
            yield text


def stage_jobs(repository: Repository, stage: str) -> list[Job]:
    """Jobs that run a stage of delivery, by the command that they run or the step that they call."""
    return [
        job
        for job in jobs(repository)
        if any(re.search(rf"\bpipegraft\s+run\b[^&|;]*\s{stage}\b", line) for line in commands(job))
    ] or _by_library(repository, stage)


def _by_library(repository: Repository, stage: str) -> list[Job]:
    """A Jenkinsfile calls steps of the shared library: one for the plan, one for each stage."""
    ci = repository.ci
    if ci is None or ci.system != "jenkins" or ci.problem:
        return []
    head, *rest = stage.split("-")
    step = "pipegraft" + "".join(part.capitalize() for part in (head, *rest))
    found = repository.search(
        rf"^[^/\n]*\b({step}|pipegraftDeliver\w*|pipegraft)\b\s*[({{]?", ci.file, limit=1
    )
    return [Job(step, found[0].place)] if found else []


def dockerfiles(repository: Repository) -> Iterator[tuple[str, list[Instruction]]]:
    """Every Dockerfile with its instructions."""
    for path in repository.find("Dockerfile", "Dockerfile.*", "*.Dockerfile", "Containerfile"):
        if not aside(path) and not path.endswith((".dockerignore", ".md", ".j2")):
            yield path, list(instructions(repository.read(path) or ""))


def each(claim: str, good: Sequence[Evidence], bad: Sequence[Evidence], nothing: str) -> Finding:
    """Yes if all are good, no if any is bad, and neither where there is nothing to look at.

    Arguments:
        claim: what is wrong with the bad ones, one clause.
        nothing: why there may be none.
    """
    if bad:
        return no(f"{claim}: {', '.join(dict.fromkeys(one.text for one in bad))}", *bad)
    return yes(f"{len(good)} of {len(good)}", *good) if good else absent(nothing)


def in_delivery(repository: Repository, *route: str | int) -> Evidence:
    """Where a value stands in `delivery.yaml`, or the nearest one around it."""
    text = repository.read(DELIVERY) or ""
    try:
        place = load_marked(text, DELIVERY).place(route, key=True)
    except PipegraftError:
        place = None
    place = place or Place(DELIVERY, 1)
    lines = text.splitlines()
    shown = lines[place.line - 1].strip() if 0 < place.line <= len(lines) else ""
    return Evidence(Place(place.file, place.line), shown[:160])


def nothing_delivered(repository: Repository) -> Finding | None:
    """Why a promise counts for nothing yet; None once the history has a release of the pipeline."""
    if repository.delivery is None:
        return no(NO_DELIVERY)
    if repository.iac is None:
        return unseen(NO_IAC)
    pace = repository.iac.pace
    if pace is None or not pace.by_pipeline:
        reason = "delivery.yaml promises it; no release of a pipeline is in the IaC repository's history"
        grafted = stage_jobs(repository, "iac-bump")
        graft = "merge the grafted pipeline" if grafted else "pipegraft inject, commit what it writes"
        return Finding(Answer.NO, reason, step=f"{graft}, and let it release once")
    return None


def put(repository: Repository, file: str, values: Mapping[Route, Value]) -> Mapping[str, str]:
    """A file with values set, every other byte as it was; empty if it is not there or cannot be edited."""
    text = repository.read(file)
    if text is None or not values:
        return {}
    try:
        return {file: apply(text, [Put(route, value) for route, value in values.items()], file=file)}
    except PipegraftError:
        return {}


_MOST = 400
"""Files that are read; a repository of many applications has more than one assessment needs."""
_WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "Rollout"})


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a workload: where it is, what it says, and what its pod says."""

    place: Place
    workload: str
    image: str
    spec: Mapping[str, Any]
    pod: Mapping[str, Any]
    replicas: int | None


@dataclass(frozen=True, slots=True)
class Sync:
    """An object that tells a GitOps engine what to apply, and what it lacks to do it by itself."""

    place: Place
    name: str
    lacks: str


@dataclass(frozen=True, slots=True)
class Manifests:
    """Everything of interest in a tree.

    Arguments:
        images: containers that name one.
        syncs: objects of Argo CD and Flux.
        kinds: kind of every object → where the first one is.
    """

    images: tuple[Container, ...]
    syncs: tuple[Sync, ...]
    kinds: Mapping[str, Place]


@lru_cache(maxsize=8)
def manifests(tree: Tree) -> Manifests:
    """Read the manifests of a tree; templates and what is no YAML are passed over."""
    containers: list[Container] = []
    syncs: list[Sync] = []
    kinds: dict[str, Place] = {}
    for path in list(tree.find("*.yaml", "*.yml"))[:_MOST]:
        text = "" if aside(path) else tree.read(path) or ""
        if not re.search(r"^apiVersion:", text, re.MULTILINE) or "{{" in text:
            continue
        for line, document in _documents(text):
            kind = str(document.get("kind", ""))
            place = Place(path, line)
            kinds.setdefault(kind, place)
            if kind in _WORKLOADS:
                containers += _containers(document, place)
            elif (sync := _sync(kind, document, place)) is not None:
                syncs.append(sync)
    return Manifests(tuple(containers), tuple(syncs), kinds)


def _documents(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        refuse_deep(text)
        for node in yaml.compose_all(text, Loader=yaml.CSafeLoader):
            line = node.start_mark.line + 1
            document = yaml.constructor.SafeConstructor().construct_document(node)
            if isinstance(document, Mapping):
                yield line, document
    except (yaml.YAMLError, ValueError, TypeError):
        return


def _containers(document: Mapping[str, Any], place: Place) -> Iterator[Container]:
    spec = document.get("spec") or {}
    pod = (spec.get("template") or {}).get("spec") or {}
    name = str((document.get("metadata") or {}).get("name", ""))
    for one in pod.get("containers") or ():
        if isinstance(one, Mapping):
            yield Container(place, name, str(one.get("image", "")), one, pod, spec.get("replicas"))


def _sync(kind: str, document: Mapping[str, Any], place: Place) -> Sync | None:
    version, spec = str(document.get("apiVersion", "")), document.get("spec") or {}
    name = str((document.get("metadata") or {}).get("name", ""))
    if kind == "Application" and version.startswith("argoproj.io/"):
        automated = (spec.get("syncPolicy") or {}).get("automated")
        if not isinstance(automated, Mapping):
            return Sync(place, name, "syncPolicy.automated")
        lacks = [f"automated.{key}" for key in ("prune", "selfHeal") if automated.get(key) is not True]
        return Sync(place, name, ", ".join(lacks))
    if kind == "Kustomization" and version.startswith("kustomize.toolkit.fluxcd.io/"):
        suspended = "not suspended" if spec.get("suspend") else ""
        return Sync(place, name, suspended or ("" if spec.get("prune") is True else "prune"))
    if kind == "HelmRelease" and version.startswith("helm.toolkit.fluxcd.io/"):
        return Sync(place, name, "not suspended" if spec.get("suspend") else "")
    return None


_LOCKS: Mapping[str, tuple[str, ...]] = {
    "package.json": (
        "package-lock.json",
        "yarn.lock",
        "pnpm-lock.yaml",
        "npm-shrinkwrap.json",
        "bun.lockb",
        "bun.lock",
    ),
    "pyproject.toml": ("uv.lock", "poetry.lock", "pdm.lock", "requirements*.txt", "*.lock", "pylock.toml"),
    "Pipfile": ("Pipfile.lock",),
    "go.mod": ("go.sum",),
    "Cargo.toml": ("Cargo.lock",),
    "Gemfile": ("Gemfile.lock",),
    "composer.json": ("composer.lock",),
    "mix.exs": ("mix.lock",),
    "pubspec.yaml": ("pubspec.lock",),
    "build.gradle": ("gradle.lockfile", "gradle/verification-metadata.xml"),
    "build.gradle.kts": ("gradle.lockfile", "gradle/verification-metadata.xml"),
    "*.csproj": ("packages.lock.json",),
}
_PINNED_LINE = re.compile(r"\s*($|#|-|[^=<>~!]+===?[^*]+$|\S+\s*@\s*\S+#sha256=)")
"""A line of ``requirements.txt`` that names one version, or no package at all."""
_LOOSE_VERSION = re.compile(r"<version>\s*(LATEST|RELEASE|[\[(][^<]*|[^<]*-SNAPSHOT)\s*</version>")
"""A version of Maven that means another one tomorrow (maven.apache.org/pom.html, version requirements)."""


def dependencies_locked(repository: Repository) -> Finding:
    """Every file that declares dependencies has a lock file near it, or pins each of them itself."""
    good: list[Evidence] = []
    bad: list[Evidence] = []
    for manifest, locks in _LOCKS.items():
        for path in _ours(repository, manifest):
            near = _lock_near(repository, PurePosixPath(path).parent, locks)
            (good if near else bad).append(Evidence(Place(path, 1), path))
    for manifest, loose in _PINNING.items():
        for path in _ours(repository, manifest):
            found = loose(repository.read(path) or "")
            line, text = found or (1, path)
            (bad if found else good).append(Evidence(Place(path, line), text))
    return each(
        "dependencies that nothing locks", good, bad, "no dependencies are declared in a way known here"
    )


def _ours(repository: Repository, manifest: str) -> list[str]:
    return [path for path in repository.find(manifest) if not aside(path)]


def _lock_near(repository: Repository, folder: PurePosixPath, locks: tuple[str, ...]) -> bool:
    """Whether a lock file lies beside it, above it, at the root, or one folder below."""
    beside = [str(above / lock) for above in (folder, *folder.parents) for lock in locks]
    if repository.find(*(one if "/" in one else f"./{one}" for one in beside)):
        return True
    at_root = (one for one in repository.files if "/" not in one)
    if any(PurePosixPath(one).match(lock) for one in at_root for lock in locks):
        return True
    return bool(repository.find(*(f"{folder}/*/{lock}".removeprefix("./") for lock in locks)))


def _loose_requirement(text: str) -> tuple[int, str] | None:
    """First line that leaves the version open; what goes on after a backslash is one line."""
    joined = re.sub(r"\\\n", "  ", text)
    for number, line in enumerate(joined.split("\n"), 1):
        bare = re.sub(r"\s(#|--hash|;).*", "", line)
        if not _PINNED_LINE.match(bare):
            return number, line.strip()
    return None


def _loose_pom(text: str) -> tuple[int, str] | None:
    found = _LOOSE_VERSION.search(re.sub(r"<parent>.*?</parent>", _blank, text, flags=re.DOTALL))
    own = re.search(r"<project\b[^>]*>(?:(?!<dependenc).)*?<version>", text, re.DOTALL)
    if found and own and found.start() < own.end():  # the project's own version
        found = _LOOSE_VERSION.search(text, own.end())
    return (text.count("\n", 0, found.start()) + 1, found[0]) if found else None


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])


_PINNING: Mapping[str, Callable[[str], tuple[int, str] | None]] = {
    "requirements*.txt": _loose_requirement,
    "pom.xml": _loose_pom,
}
"""File that declares and pins dependencies itself → its first line that does not pin."""
