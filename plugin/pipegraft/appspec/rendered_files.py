"""Rendered manifests beside the app spec: which file an environment's belong to."""

from __future__ import annotations

import re

__all__ = ["environment_of", "rendered_path"]

_ENVIRONMENT = re.compile(r"(?P<folder>(?:.+/)?)environments/(?P<name>[^/]+)\.yaml")


def rendered_path(folder: str, environment: str) -> str:
    """Path of an environment's manifests; a folder of its own, so that engines can be pointed at it.

    Arguments:
        folder: the app's folder in the repository, empty for the root.
    """
    path = f"rendered/{environment}/manifests.yaml"
    return f"{folder}/{path}" if folder else path


def environment_of(path: str) -> tuple[str, str] | None:
    """Folder and name of the environment that a path is the file of; None for other paths."""
    found = _ENVIRONMENT.fullmatch(path)
    return (found["folder"].rstrip("/"), found["name"]) if found else None
