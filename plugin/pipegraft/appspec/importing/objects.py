"""A Kubernetes object that is taken apart, and how others mean its pods."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipegraft.appspec.importing.consumed_keys import Imported, Taking

__all__ = ["KubernetesObject", "is_ours", "selected", "take_ours"]

_OURS = re.compile(r"(pipegraft\.dev/.*|app\.kubernetes\.io/(name|instance|part-of|managed-by))")
_DIGEST_OF_A_JOB = re.compile(r"-[0-9a-f]{10}$")


class KubernetesObject:
    """One object, and what its pods are labelled with.

    Arguments:
        file: where it is from.
        data: the object.
    """

    def __init__(self, file: str, data: Mapping[str, Any]) -> None:
        self.kind = str(data.get("kind") or "")
        name = Taking(data, file).peek("metadata", "name")
        self.name = name if isinstance(name, str) else ""
        self.component = _DIGEST_OF_A_JOB.sub("", self.name) if self.kind == "Job" else self.name
        named = f"{file}: {self.kind or 'object'} {self.name}"
        self.part = Taking(dict(data), named, secret=self.kind == "Secret")
        self.labels: Mapping[str, str] = {}
        self.selecting: Mapping[str, str] = {}

    def take_metadata(self, into: Imported) -> None:
        """What every object says, and we say again by ourselves."""
        for key in ("apiVersion", "kind"):
            self.part.take(key)
        self.part.take("metadata", "name")
        namespace = self.part.peek("metadata", "namespace")
        if into.namespace in (None, namespace) and namespace:
            into.namespace = self.part.take("metadata", "namespace")
        take_ours(self.part, "metadata")


def is_ours(key: Any) -> bool:
    """Whether a label or annotation is one that every render makes."""
    return _OURS.fullmatch(str(key)) is not None


def take_ours(part: Taking, *route: str, also: Mapping[str, Any] | None = None) -> None:
    """Labels and annotations that every render makes, and labels that only select."""
    for kind in ("labels", "annotations"):
        for key in part.mapping(*route, kind):
            if is_ours(key) or (kind == "labels" and key in (also or {})):
                part.take(*route, kind, key)


def selected(selector: Mapping[Any, Any], workloads: Mapping[str, KubernetesObject]) -> str | None:
    """The workload whose pods a selector means."""
    wanted = selector.items()
    if not wanted:
        return None
    return next(
        (
            name
            for name, one in workloads.items()
            if all(one.labels.get(key) == value for key, value in wanted)
        ),
        None,
    )
