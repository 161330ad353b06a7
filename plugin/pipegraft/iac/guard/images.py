"""Whether images are pinned by digest: in app specs and environments, and in files of other tools."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pipegraft.core.errors import ConfigError, Problem
from pipegraft.core.yaml_positions import Marked, Route, load_marked, load_marked_all

__all__ = ["pinned_in_manifests", "pinned_in_spec"]

_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
_FIX = "pin it: a tag can name another image tomorrow"


def pinned_in_spec(path: str, text: str) -> Iterator[Problem]:
    """Images of components, at any depth, that are not pinned."""
    try:
        marked = load_marked(text, path)
    except ConfigError:
        return  # told by the check of the spec
    for route in marked.values:
        if route[-1:] == ("image",) and "components" in route:
            yield from _pinned(marked, route)


def pinned_in_manifests(path: str, text: str) -> Iterator[Problem]:
    """Images of manifests, Helm values and kustomizations that are not pinned.

    An image is a text at a key ``image``, a mapping there with ``digest`` or without, or an entry of a
    kustomization's ``images``.
    """
    try:
        documents = load_marked_all(text, path)
    except ConfigError as error:
        yield from error.problems
        return
    for marked in documents:
        for route in marked.values:
            value = _at(marked.data, route)
            if route[-1:] == ("image",) and isinstance(value, str):
                yield from _pinned(marked, route)
            elif isinstance(value, dict) and _names_image(route, value) and not value.get("digest"):
                name = value.get("newName") or value.get("name") or value.get("repository")
                yield Problem(
                    f"expected '{name}' with a digest, found {value.get('newTag') or value.get('tag')!r}",
                    marked.place(route),
                    _FIX,
                )


def _names_image(route: Route, value: dict[str, Any]) -> bool:
    helm = route[-1:] == ("image",) and "repository" in value
    return helm or (len(route) == 2 and route[0] == "images" and "name" in value)


def _pinned(marked: Marked, route: Route) -> Iterator[Problem]:
    value = _at(marked.data, route)
    if isinstance(value, str) and not _DIGEST.fullmatch(value):
        yield Problem(
            f"expected an image pinned by digest (name@sha256:…), found '{value}'", marked.place(route), _FIX
        )


def _at(data: Any, route: Route) -> Any:
    for part in route:
        data = data[part]
    return data
