"""Rendered manifests beside the app spec: which file an environment's belong to."""

from __future__ import annotations

import hashlib
import re

__all__ = ["environment_of", "rendered_path", "with_own_version"]

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


_VERSION = re.compile(r"^(?P<key>[ ]+app\.oam\.dev/publishVersion: )(?P<version>\S+)$", re.MULTILINE)


def with_own_version(rendered: str, before: str | None) -> str:
    """Manifests whose `publishVersion` no earlier ones had, unless they are the same as those before them.

    KubeVela applies a version once: a release that is restored byte for byte would be one that it has
    applied already, and the version that it was to replace would stay.

    Arguments:
        rendered: manifests with a version that follows from their content alone.
        before: the file as it is, None if there is none.
    """
    new, old = _VERSION.search(rendered), _VERSION.search(before or "")
    if new is None or old is None:
        return rendered
    if _VERSION.sub(r"\g<key>", rendered) == _VERSION.sub(r"\g<key>", before or ""):
        return before or rendered
    own = hashlib.sha256(f"{new['version']} after {old['version']}".encode()).hexdigest()[:40]
    return _VERSION.sub(rf"\g<key>{own}", rendered)
