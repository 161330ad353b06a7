"""Which repositories an Argo CD Application is made from, and what of them it has compared.

Source: argoproj/argo-cd, ``pkg/apis/application/v1alpha1/types.go`` (`ApplicationSource`, `ComparedTo`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipegraft.gate.ports import Status
from pipegraft.gate.verdicts.conditions import Object
from pipegraft.gate.verdicts.repositories import same_repository

__all__ = ["follows", "is_at_target", "is_compared_to_spec", "is_ours", "revisions", "sources", "wanted"]

_HEAD = {"", "HEAD"}


def sources(app: Object) -> Sequence[Mapping[str, Any]]:
    """Its sources, one or several."""
    return app["spec"].get("sources") or [app["spec"].get("source") or {}]


def wanted(source: Mapping[str, Any]) -> str:
    """The revision that a source follows."""
    return str(source.get("targetRevision") or "")


def is_ours(source: Mapping[str, Any], status: Status) -> bool:
    """Whether a source is the IaC repository; any git repository is where none is named."""
    url = str(source.get("repoURL", ""))
    repository = status.get("repository")
    if source.get("chart") or url.startswith("oci://"):
        return False
    return repository is None or same_repository(url, repository)


def follows(revision: str, status: Status) -> bool:
    """Whether a revision is the branch that we write to."""
    branch = status.get("branch")
    return branch is None or revision in _HEAD | {branch, f"refs/heads/{branch}"}


def revisions(app: Object, where: Mapping[str, Any], status: Status) -> list[str]:
    """Revisions of the sources that are our repository; charts have versions, not revisions."""
    found = where.get("revisions") or [where.get("revision") or ""]
    return [
        revision
        for source, revision in zip(sources(app), found, strict=False)
        if is_ours(source, status) and (not status.get("child") or follows(wanted(source), status))
    ]


def is_at_target(
    where: Mapping[str, Any], app: Object, status: Status, at_target: Callable[[str], bool]
) -> bool:
    """Whether a comparison or a sync was of the target; a child without our repository always is."""
    found = revisions(app, where, status)
    if not found:
        return bool(status.get("child"))
    return all(revision and at_target(revision) for revision in found)


def is_compared_to_spec(app: Object, compared: Mapping[str, Any]) -> bool:
    """Whether the spec is still what it was when it was compared.

    What was compared is written from a struct, which leaves out what is empty and has an empty ``source``
    beside ``sources``.
    """
    keys = ("sources", "destination") if app["spec"].get("sources") else ("source", "destination")
    return all(_filled(app["spec"].get(key)) == _filled(compared[key]) for key in keys if compared.get(key))


def _filled(value: Any) -> Any:
    """A value without the parts that Go's ``omitempty`` leaves out."""
    if isinstance(value, Mapping):
        parts = {key: _filled(part) for key, part in value.items()}
        return {key: part for key, part in parts.items() if part not in (None, "", 0, False, [], {})}
    return [_filled(part) for part in value] if isinstance(value, list) else value
