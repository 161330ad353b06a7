"""The images of a release: what they are, how each gets into its pod, a pointer for later jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pipegraft.adapters.files import write_atomically
from pipegraft.adapters.release_file import RECORD, FileReleaseStore
from pipegraft.domain.images.snippets import snippet
from pipegraft.model.release import Release
from pipegraft.reports.dotenv import release_dotenv
from pipegraft.usecases.project import Project

__all__ = ["read_release", "show_snippets", "write_dotenv"]


def read_release(project: Project) -> Release:
    """The release record of a project.

    Raises:
        UsageError: there is none.
    """
    return FileReleaseStore(project.root / RECORD).load()


def show_snippets(project: Project, release: Release) -> str:
    """One YAML document for each image: the piece of a pod's spec that brings it in."""
    pieces: list[dict[str, Any]] = [
        snippet(name, project.delivery.components[name], image.reference)
        for name, image in release.images.items()
        if name in project.delivery.components
    ]
    return yaml.safe_dump_all(pieces, sort_keys=False, explicit_start=True)


def write_dotenv(project: Project, release: Release, path: Path) -> None:
    """Write a pointer to the release record for GitLab's dotenv reports."""
    content = (project.root / RECORD).read_bytes()
    write_atomically(path, release_dotenv(release, RECORD, content).encode())
