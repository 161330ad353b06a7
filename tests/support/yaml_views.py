"""A YAML text as readers of different rules take it: PyYAML (YAML 1.1), ruamel.yaml by 1.1 and by 1.2."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

Leaf = tuple[str, str]
"""Tag and text of a scalar; a mapping or list without entries has no text."""
View = Mapping[tuple[Any, ...], Leaf]
"""Number of the document and path → what stands there, aliases followed."""


def views(text: str) -> Mapping[str, View | None]:
    """Reader → what it sees; None if it takes the text for no YAML."""
    return {name: _view(read, text) for name, read in _READERS.items()}


def differences(before: View, after: View) -> Mapping[tuple[Any, ...], tuple[Leaf | None, Leaf | None]]:
    """Path → what stood there, and what stands there now."""
    places = dict.fromkeys((*before, *after))
    return {at: (before.get(at), after.get(at)) for at in places if before.get(at) != after.get(at)}


def _view(read: Callable[[str], Iterator[Any]], text: str) -> View | None:
    try:
        return dict(
            leaf
            for number, node in enumerate(read(text))
            for leaf in _leaves(node, (number,))
            if node is not None
        )
    except (yaml.YAMLError, YAMLError, ValueError, AttributeError):  # ruamel does not know every odd text
        return None


def _leaves(node: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Leaf]]:
    kind = type(node).__name__
    if kind == "ScalarNode":
        yield path, (str(node.tag), node.value)
    elif not node.value:
        yield path, (str(node.tag), "")
    elif kind == "MappingNode":
        for key, value in node.value:
            yield from _leaves(value, (*path, key.value if type(key).__name__ == "ScalarNode" else "?"))
    else:
        for index, value in enumerate(node.value):
            yield from _leaves(value, (*path, index))


def _by_ruamel(version: str) -> Callable[[str], Iterator[Any]]:
    def read(text: str) -> Iterator[Any]:
        reader = YAML(typ="safe", pure=True)
        reader.version = version
        return iter(reader.compose_all(text))

    return read


_READERS: Mapping[str, Callable[[str], Iterator[Any]]] = {
    "PyYAML": lambda text: yaml.compose_all(text, yaml.SafeLoader),
    "ruamel.yaml by 1.1": _by_ruamel("1.1"),
    "ruamel.yaml by 1.2": _by_ruamel("1.2"),
}
