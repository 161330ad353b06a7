"""The images of a release: what they are, how each gets into its pod, a pointer for later jobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pipegraft.core.adapters.files import write_atomically
from pipegraft.core.adapters.release_file import RECORD, FileReleaseStore
from pipegraft.core.errors import UsageError
from pipegraft.core.project import Project
from pipegraft.core.release import Release
from pipegraft.core.views.dotenv import release_dotenv
from pipegraft.images.snippets import snippet

__all__ = ["read_release", "show_snippets", "write_dotenv"]


def read_release(project: Project) -> Release:
    """The release record of a project.

    Raises:
        UsageError: there is none.
    """
    return FileReleaseStore(project.root / RECORD).load()


def show_snippets(
    project: Project, release: Release, components: Sequence[str] = (), way: str | None = None
) -> str:
    """One YAML document for each image: the piece of a manifest that brings it in.

    Arguments:
        components: names; all of the release if empty.
        way: one of `pipegraft.images.snippets.WAYS`; each component's own if None.

    Raises:
        UsageError: a component is not in the release, or cannot get in that way.
    """
    images = {name: image.reference for name, image in release.images.items()}
    declared = project.delivery.components
    for name in components:
        if name not in images or name not in declared:
            known = ", ".join(one for one in images if one in declared)
            raise UsageError(f"the release has no component '{name}'; it has: {known or 'none'}")
    pieces: list[dict[str, Any]] = [
        snippet(release.app, name, declared[name], images, way)
        for name in components or images
        if name in declared
    ]
    return yaml.safe_dump_all(pieces, sort_keys=False, explicit_start=True)


def write_dotenv(project: Project, release: Release, path: Path) -> None:
    """Write a pointer to the release record for GitLab's dotenv reports."""
    content = (project.root / RECORD).read_bytes()
    write_atomically(path, release_dotenv(release, RECORD, content).encode())
