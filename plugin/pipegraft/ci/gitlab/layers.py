"""Which files make up a configuration, in the order GitLab merges them.

Source: https://docs.gitlab.com/ci/yaml/includes/ : includes are merged in their order, a later one wins, the
including file wins last; mappings merge deeply, everything else is replaced.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipegraft.ci.gitlab.interpolation import interpolate
from pipegraft.ci.gitlab.loader import Document, load
from pipegraft.core.errors import EditRefused, Place

__all__ = ["Files", "Layer", "deep_merge", "include_entries", "layers_of", "local_of", "local_path"]

_MOST_INCLUDES = 150  # GitLab's own limit


@dataclass(frozen=True, slots=True)
class Files:
    """The other files of the repository.

    Arguments:
        read: path → text, None if there is no such file.
        find: pattern with ``*`` and ``**`` → paths.
    """

    read: Callable[[str], str | None] = lambda _path: None
    find: Callable[[str], Sequence[str]] = lambda _pattern: ()


@dataclass(frozen=True, slots=True)
class Layer:
    """One file's share of the configuration.

    Arguments:
        file: its path; empty if it is not in this repository.
        values: its own keys, without `include`.
        opaque: how it is included, for a layer that cannot be read; empty if it was.
        conditional: whether the include has `rules`, so that it may be absent.
    """

    file: str
    values: Mapping[str, Any] = field(default_factory=dict)
    opaque: str = ""
    conditional: bool = False


def layers_of(file: str, text: str, files: Files) -> list[Layer]:
    """Everything a root configuration consists of, the weakest layer first, the root itself last.

    Raises:
        EditRefused: a file does not parse, includes itself, or there are too many.
    """
    walk = _Walk(files)
    return list(walk.expand(file, load(text, file), {}, (local_path(file),), conditional=False))


def deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`: mappings merge, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = deep_merge(below, value)
        else:
            merged[key] = value
    return merged


def include_entries(values: Mapping[str, Any]) -> list[Any]:
    """The entries of `include`, however it is written."""
    include = values.get("include")
    if include is None:
        return []
    return list(include) if isinstance(include, list) else [include]


def local_path(path: str) -> str:
    """A path of GitLab, from the repository's root, without its leading slash."""
    return posixpath.normpath(path.lstrip("/"))


def local_of(entry: Any) -> str | None:
    """The path a local include names, None for every other include."""
    if isinstance(entry, str):
        return None if re.match(r"https?://", entry) else entry
    if isinstance(entry, Mapping) and isinstance(entry.get("local"), str):
        return str(entry["local"])
    return None


class _Walk:
    """Follows includes and counts them."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._count = 0

    def expand(
        self,
        file: str,
        document: Document,
        inputs: Mapping[str, Any],
        path: tuple[str, ...],
        *,
        conditional: bool,
    ) -> Iterator[Layer]:
        values = interpolate(document, inputs)
        for entry in include_entries(values):
            yield from self._include(entry, path, conditional=conditional or _has_rules(entry))
        own = {key: value for key, value in values.items() if key != "include"}
        yield Layer(file, own, conditional=conditional)

    def _include(self, entry: Any, path: tuple[str, ...], *, conditional: bool) -> Iterator[Layer]:
        self._count += 1
        if self._count > _MOST_INCLUDES:
            raise EditRefused(
                f"expected at most {_MOST_INCLUDES} includes, which is GitLab's limit, found more",
                place=Place(path[0]),
                fix="include fewer files",
            )
        named = local_of(entry)
        found = [] if named is None or "$" in named else self._find(named)
        if not found:
            yield Layer("", opaque=_describe(entry), conditional=conditional)
        given = entry.get("inputs") if isinstance(entry, Mapping) else None
        inputs = given if isinstance(given, Mapping) else {}
        for name, text in found:
            if name in path:
                yield Layer("", opaque=f"{name}, which includes itself", conditional=conditional)
                continue
            yield from self.expand(name, load(text, name), inputs, (*path, name), conditional=conditional)

    def _find(self, named: str) -> list[tuple[str, str]]:
        path = local_path(named)
        names = sorted(self._files.find(path)) if "*" in path else [path]
        texts = [(name, self._files.read(name)) for name in names]
        return [(name, text) for name, text in texts if text is not None]


def _has_rules(entry: Any) -> bool:
    return isinstance(entry, Mapping) and "rules" in entry


def _describe(entry: Any) -> str:
    if not isinstance(entry, Mapping):
        return str(entry)
    kind = next(
        (kind for kind in ("local", "project", "component", "template", "remote") if kind in entry), ""
    )
    return f"{kind} {entry[kind]}" if kind else str(dict(entry))
