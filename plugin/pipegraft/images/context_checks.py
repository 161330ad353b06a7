"""Build contexts that would become a wrong image without anybody noticing."""

from __future__ import annotations

from pathlib import Path

from pipegraft.core.delivery import Component
from pipegraft.core.errors import UsageError
from pipegraft.images.build_context import BuildContext

__all__ = ["check_context"]

_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
"""First line of a file that Git LFS keeps elsewhere (git-lfs, docs/spec.md)."""
_LARGEST_POINTER = 1024
"""Bytes that a pointer has at most, by the same page."""
_SHOWN = 3


def check_context(name: str, component: Component, folder: Path, context: BuildContext) -> None:
    """Refuse what cannot be meant: no Dockerfile where one is named, nothing at all, pointers for content.

    Arguments:
        name: of the component.
        folder: its build context on this machine.

    Raises:
        UsageError: one of these is the case.
    """
    if context.dockerfile is None:
        _check_without_dockerfile(name, component, folder, context)
    pointers = [
        entry.path
        for entry in context.entries
        if entry.kind == "file" and entry.size < _LARGEST_POINTER and _is_pointer(folder / entry.path)
    ]
    if pointers:
        shown = ", ".join(pointers[:_SHOWN]) + (
            f" and {len(pointers) - _SHOWN} more" * (len(pointers) > _SHOWN)
        )
        raise UsageError(
            f"component '{name}': Git LFS keeps the content of {shown} elsewhere; here is its pointer alone",
            fix="run `git lfs pull` before the build (in GitLab: no GIT_LFS_SKIP_SMUDGE), or ignore the file",
        )


def _check_without_dockerfile(name: str, component: Component, folder: Path, context: BuildContext) -> None:
    named = {
        "dockerfile": component.dockerfile,
        "target": component.target,
        "context": component.context,
        "additional-contexts": component.additional_contexts,
    }
    given = [key for key, value in named.items() if value]
    if given:
        raise UsageError(
            f"component '{name}': expected {component.dockerfile or 'Dockerfile'} in"
            f" {component.build_folder}, which '{given[0]}' is for, found none",
            fix=f"correct '{given[0]}'; the Dockerfile is looked for relative to 'context'",
        )
    if any(entry.kind != "folder" for entry in context.entries):
        return
    if _is_submodule(folder):
        raise UsageError(
            f"component '{name}': {component.path} is a git submodule that is not checked out",
            fix="run `git submodule update --init` first (in GitLab: GIT_SUBMODULE_STRATEGY: recursive)",
        )
    raise UsageError(
        f"component '{name}': {component.path} holds nothing an image could be made of",
        fix="correct its 'path', or what its .dockerignore leaves out",
    )


def _is_pointer(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_POINTER)) == _POINTER


def _is_submodule(folder: Path) -> bool:
    """Whether a .gitmodules file above names a folder (git-scm.com, gitmodules)."""
    for parent in folder.absolute().parents:
        listed = parent / ".gitmodules"
        if listed.is_file():
            path = folder.absolute().relative_to(parent).as_posix()
            lines = listed.read_text(encoding="utf-8", errors="replace").splitlines()
            return any(line.replace(" ", "").strip() == f"path={path}" for line in lines)
    return False
