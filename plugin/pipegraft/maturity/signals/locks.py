"""Whether dependencies are the same tomorrow: a lock file, or versions pinned one by one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from pipegraft.core.errors import Place
from pipegraft.maturity.model import Evidence, Finding, Repository
from pipegraft.maturity.signals.helpers import aside, each

__all__ = ["dependencies_locked"]

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
