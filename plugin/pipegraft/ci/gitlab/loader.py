"""YAML as GitLab loads it: `!reference` kept apart, duplicate keys allowed, an optional `spec:` header."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import yaml

from pipegraft.core.errors import EditRefused, Place

__all__ = ["Document", "Reference", "load"]


@dataclass(frozen=True, slots=True)
class Reference:
    """``!reference [job, key, …]``: the value found there takes its place."""

    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """One configuration file.

    Arguments:
        values: its content, header aside.
        header: what its `spec:` document declares; empty if there is none.
        index: number of the YAML document that holds the content.
    """

    values: dict[str, Any]
    header: dict[str, Any] = field(default_factory=dict)
    index: int = 0


class _Loader(yaml.CSafeLoader):
    """Safe values only; a tag that means nothing to GitLab is ignored, as it does."""


def _reference(loader: _Loader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return Reference(tuple(str(part) for part in loader.construct_sequence(node)))
    return _untagged(loader, "", node)


def _untagged(loader: _Loader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return node.value


def _text(_loader: _Loader, node: yaml.Node) -> Any:
    return node.value


_Loader.add_constructor("!reference", _reference)
_Loader.add_multi_constructor("", _untagged)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _text)
_Loader.add_constructor("tag:yaml.org,2002:value", _text)


@functools.lru_cache(maxsize=64)
def load(text: str, file: str) -> Document:
    """Read one configuration file; what it answers is shared, and nobody changes it.

    Arguments:
        text: the file; an empty one has no keys.
        file: name for messages.

    Raises:
        EditRefused: it is not YAML, not a mapping, or has more documents than a header and a content.
    """
    try:
        documents = list(yaml.load_all(text.removeprefix("\ufeff"), Loader=_Loader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _unreadable(error, file) from None
    index = 1 if len(documents) > 1 and _is_header(documents[0]) else 0
    extra = [other for other in documents[index + 1 :] if other is not None]
    values = documents[index] if documents else None
    if extra or not isinstance(values, dict | None):
        found = "several documents" if extra else f"a {type(values).__name__}"
        raise EditRefused(
            f"expected one mapping of jobs and keywords, found {found}",
            place=Place(file),
            fix="name the pipeline's configuration file",
        )
    return Document(_with_text_keys(values or {}), documents[0] if index else {}, index)


def _is_header(document: Any) -> bool:
    return isinstance(document, dict) and set(document) == {"spec"}


def _with_text_keys(values: dict[Any, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in values.items()}


def _unreadable(error: Exception, file: str) -> EditRefused:
    mark = getattr(error, "problem_mark", None)
    place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
    problem = getattr(error, "problem", None) or str(error)
    return EditRefused(f"this is not YAML: {problem}", place=place, fix="mend the file at this place")
