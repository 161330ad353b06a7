"""Reads what others wrote: YAML that remembers its places, JSON, and the answers of servers.

Nesting that would exhaust the stack, and a form that nobody promised, are told like any other fault.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipegraft.core.errors import ConfigError, Place, Problem, Unreachable

__all__ = [
    "MOST_LEVELS",
    "UNREADABLE",
    "Marked",
    "Route",
    "load_json",
    "load_marked",
    "load_marked_all",
    "readable",
    "refuse_deep",
]


MOST_LEVELS = 100
"""Collections inside of one another; people's files have ten, and a parser's stack holds some hundreds."""

UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError)
"""What reading an answer of another form than its API promises ends in."""

_REST_OBJECT = "RESTObject"
"""What python-gitlab's objects derive from; those that derive from a plain type are ours."""
_PLAIN = {
    *("dict", "list", "tuple", "str", "bytes", "int", "float", "bool", "NoneType"),
    *("datetime", "mappingproxy", _REST_OBJECT),
}
"""Names of the types that answers are made of."""
_WRONG_CALL = re.compile(
    r"\(\) (?:takes (?:no|from|exactly|\d)|missing \d|got (?:an unexpected|multiple|some))|is not callable"
)
_TYPE_NAMED = re.compile(r"'(?:\w+\.)*(\w+)'")
_PACKAGE = Path(__file__).parent.parent
_SHOWN = 200
"""Characters of a foreign error."""
_INDENTED = re.compile(rf"^[ \t?:-]{{{MOST_LEVELS}}}", re.MULTILINE)


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Read what a system answered; whatever is not as its API promises is that system's failure, not ours.

    A wrong call or a misuse of our own objects in the block stays what it is: a defect.

    Arguments:
        name: the system, for messages.

    Raises:
        Unreachable: the answer has another form; the place in our code stands in the message.
    """
    try:
        yield
    except UNREADABLE as error:
        if _is_ours(error):
            raise
        at = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__}: {error}".rstrip(": ")[:_SHOWN]
        where = f"{Path(at.filename).name}:{at.lineno}"
        raise Unreachable(
            f"{name}: expected an answer as its API promises, found something else ({told} in {where})",
            fix="check that the address is that system's; if it is, report this line",
        ) from error


def _is_ours(error: Exception) -> bool:
    """Whether an error is a defect of this package, since no answer can bring it about."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    if not Path(at.filename).is_relative_to(_PACKAGE):
        return False  # what a library does with an answer
    if isinstance(error, AttributeError):
        kind, *bases = (one.__name__ for one in type(error.obj).__mro__)
        return kind not in _PLAIN and _REST_OBJECT not in bases
    if not isinstance(error, TypeError):
        return False
    return bool(_WRONG_CALL.search(str(error)) or set(_TYPE_NAMED.findall(str(error))) - _PLAIN)


def refuse_deep(text: str) -> None:
    """Look whether a YAML text nests reasonably, before anything reads it recursively.

    Only texts that could are looked through: with a hundred brackets, or an indentation as deep.

    Raises:
        yaml.YAMLError: it nests deeper than `MOST_LEVELS`, or is no YAML.
    """
    if text.count("[") + text.count("{") < MOST_LEVELS and not _INDENTED.search(text):
        return
    loader = yaml.CSafeLoader(text)
    levels = 0
    while (event := loader.get_event()) is not None:
        if isinstance(event, yaml.CollectionStartEvent):
            levels += 1
            if levels > MOST_LEVELS:
                told, place = f"more than {MOST_LEVELS} levels", event.start_mark
                raise yaml.MarkedYAMLError(problem=told, problem_mark=place)  # type: ignore[arg-type]
        elif isinstance(event, yaml.CollectionEndEvent):
            levels -= 1


def load_json(text: str | bytes) -> Any:
    """As `json.loads`.

    Raises:
        ValueError: it is no JSON, no UTF-8, or nests deeper than the stack is.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it nests too deeply") from None


Route = tuple[str | int, ...]
"""Keys and indices from the document's root."""

_LIMIT = 200_000
"""Nodes after resolving aliases; more, and more than characters in the file, is an alias bomb."""


@dataclass(frozen=True, slots=True)
class Marked:
    """One YAML document.

    Arguments:
        data: plain mappings, sequences and scalars.
        values: place of each value by route.
        keys: place of each mapping key by the route of its value.
    """

    data: Any
    values: Mapping[Route, Place] = field(default_factory=dict)
    keys: Mapping[Route, Place] = field(default_factory=dict)

    def place(self, route: Route, *, key: bool = False) -> Place | None:
        """Where a value stood, or the nearest enclosing one that exists; `key` prefers its key."""
        for end in range(len(route), -1, -1):
            known = route[:end]
            if key and known in self.keys:
                return self.keys[known]
            if known in self.values:
                return self.values[known]
        return None

    def at(self, route: Route) -> Any:
        """The value at a route."""
        found = self.data
        for part in route:
            found = found[part]
        return found


def load_marked(text: str, file: str) -> Marked:
    """Read a single YAML document.

    Arguments:
        text: the document; an empty one is read as None.
        file: name to use in places.

    Raises:
        ConfigError: not YAML, several documents, duplicate keys, or keys that are not strings.
    """
    with _told(file):
        refuse_deep(text)
        node = yaml.compose(text.removeprefix("\ufeff"), Loader=yaml.CSafeLoader)
    return _marked(node, text, file)


def load_marked_all(text: str, file: str) -> list[Marked]:
    """Read all documents of a YAML stream.

    Arguments:
        text: the documents.
        file: name to use in places.

    Raises:
        ConfigError: as for `load_marked`, but for several documents.
    """
    with _told(file):
        refuse_deep(text)
        nodes = list(yaml.compose_all(text.removeprefix("\ufeff"), Loader=yaml.CSafeLoader))
    return [_marked(node, text, file) for node in nodes]


@contextmanager
def _told(file: str) -> Iterator[None]:
    """Syntax errors with their place."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax_problem(error, file)]) from None
    except yaml.YAMLError as error:
        raise ConfigError([Problem(f"expected YAML, found: {error}", Place(file))]) from None


def _marked(node: yaml.Node | None, text: str, file: str) -> Marked:
    if node is None:
        return Marked(None, {(): Place(file, 1, 1)})
    walk = _Walk(file, max(_LIMIT, len(text)))
    data = walk.build(node, ())
    if walk.problems:
        raise ConfigError(walk.problems)
    return Marked(data, walk.values, walk.keys)


def _syntax_problem(error: yaml.MarkedYAMLError, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
    context = f" {error.context}" if error.context else ""
    return Problem(f"expected YAML, found: {error.problem or 'a syntax error'}{context}", place)


class _Walk:
    """Builds data from nodes and notes the places on the way."""

    def __init__(self, file: str, limit: int) -> None:
        self._file = file
        self._limit = limit
        self._constructor = yaml.constructor.SafeConstructor()
        self._open: set[int] = set()
        self._count = 0
        self.values: dict[Route, Place] = {}
        self.keys: dict[Route, Place] = {}
        self.problems: list[Problem] = []

    def build(self, node: yaml.Node, route: Route) -> Any:
        self.values[route] = self._place(node)
        self._count += 1
        if id(node) in self._open or self._count > self._limit:
            raise ConfigError(
                [Problem("expected a finite document, found aliases without end", self._place(node))]
            )
        if len(self._open) > MOST_LEVELS:  # by aliases, since the text itself nests less
            raise ConfigError([Problem(f"expected at most {MOST_LEVELS} levels", self._place(node))])
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, route)
            if isinstance(node, yaml.SequenceNode):
                return [self.build(item, (*route, index)) for index, item in enumerate(node.value)]
            return self._scalar(node)
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            return self._constructor.construct_object(node)
        except (yaml.YAMLError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            self.problems.append(
                Problem(f"expected a plain value, found {node.value!r}: {error}", self._place(node))
            )
            return None

    def _mapping(self, node: yaml.MappingNode, route: Route) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged |= self._merge(value_node, route)
                continue
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag.endswith(":binary"):
                self.problems.append(
                    Problem("expected a plain key, found a collection or base64", self._place(key_node))
                )
                continue
            if key in own:
                first = self.keys[*route, key]
                self.problems.append(
                    Problem(
                        f"'{key}' stands twice, first in line {first.line}", self._place(key_node), "keep one"
                    )
                )
                continue
            self.keys[*route, key] = self._place(key_node)
            own[key] = self.build(value_node, (*route, key))
        return merged | own

    def _merge(self, node: yaml.Node, route: Route) -> dict[str, Any]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for source in reversed(sources):
            built = self.build(source, route)
            if isinstance(built, dict):
                merged |= built
            else:
                self.problems.append(Problem("expected a mapping to merge with '<<'", self._place(source)))
        return merged

    def _place(self, node: yaml.Node) -> Place:
        return Place(self._file, node.start_mark.line + 1, node.start_mark.column + 1)
