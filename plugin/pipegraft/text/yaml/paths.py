"""Where a value stands in a YAML document, and how people write that down.

A path is a tuple of mapping keys (``str``), sequence indexes (``int``, from 0) and `Where`, the one item
of a sequence that holds a key with a value. Written down it is dotted: ``spec.containers[0].image``, or
``spec.containers[name=web].image``, which stays right when items move. A key or a value that holds a
dot, a bracket, a quote or white space is quoted: ``["app.kubernetes.io/name"]``, ``[name="a b"]``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from pipegraft.core.errors import EditRefused, Place

__all__ = ["Path", "Where", "format_path", "parse_path", "split_assignment"]


@dataclass(frozen=True, slots=True)
class Where:
    """The item of a sequence that is a mapping with this entry.

    Arguments:
        key: a key of the item.
        value: what its value reads as.
    """

    key: str
    value: str


Path = tuple[str | int | Where, ...]
"""The way from the root of a document to a value; ``()`` is the root itself."""

_BARE_KEY = re.compile(r"""[^.\[\]"'\s]+""")
_INDEX = re.compile(r"\[([0-9]+)\]")
_WHERE = re.compile(r"""\[([^\[\]"'=]+)=(?:("(?:[^"\\]|\\.)*")|([^\[\]"']*))\]""")
_BARE_VALUE = re.compile(r"""[^\[\]"']*""")
_DOUBLE_QUOTED = re.compile(r'\[("(?:[^"\\]|\\.)*")\]')
_SINGLE_QUOTED = re.compile(r"\['((?:[^']|'')*)'\]")


_ASSIGNMENT = re.compile(
    r"""((?:[^=\["']|\[(?:[^\]"']|"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')*\])+)=(.*)""", re.DOTALL
)
"""A path may hold '=' inside its brackets, where quotes may hold brackets."""


def split_assignment(word: str) -> tuple[str, str] | None:
    """Path and value of ``PATH=VALUE``, both as written; None if it is not that."""
    found = _ASSIGNMENT.fullmatch(word)
    return (found[1], found[2]) if found else None


def parse_path(text: str) -> Path:
    """Read a written path.

    Arguments:
        text: ``a.b[0][name=web]["key.with.dots"]``; a dot may stand first, and ``.`` is the root.

    Returns:
        Its parts.

    Raises:
        EditRefused: the text is not a path; the place gives the column.
    """
    if text == ".":
        return ()
    at = 1 if text.startswith(".") else 0
    parts: list[str | int | Where] = []
    while True:
        part, at = _part(text, at)
        parts.append(part)
        if at == len(text):
            return tuple(parts)
        if text[at] == ".":
            at += 1
            if text.startswith("[", at):
                raise _refusal(text, at, "found '.['", "leave out the dot before '['")
        elif text[at] != "[":
            raise _refusal(text, at, f"expected '.', '[' or the end, found {text[at]!r}", _QUOTE_IT)


_QUOTE_IT = 'write a key with special characters as ["the key"]'


def _part(text: str, at: int) -> tuple[str | int | Where, int]:
    if not text.startswith("[", at):
        bare = _BARE_KEY.match(text, at)
        if not bare:
            found = repr(text[at]) if at < len(text) else "the end"
            raise _refusal(text, at, f"expected a key, found {found}", _QUOTE_IT)
        return bare[0], bare.end()
    if index := _INDEX.match(text, at):
        return int(index[1]), index.end()
    if quoted := _DOUBLE_QUOTED.match(text, at):
        return _unquoted(text, at, quoted[1]), quoted.end()
    if quoted := _SINGLE_QUOTED.match(text, at):
        return quoted[1].replace("''", "'"), quoted.end()
    if where := _WHERE.match(text, at):
        value = _unquoted(text, at, where[2]) if where[2] else where[3]
        return Where(where[1], value), where.end()
    if text.startswith("[-", at):
        raise _refusal(
            text, at, "an index counts from the start, from 0, found a negative one", "count from the start"
        )
    raise _refusal(text, at, 'expected [INDEX], ["KEY"] or [KEY=VALUE]', 'write [0], ["key"] or [name=web]')


def _unquoted(text: str, at: int, quoted: str) -> str:
    try:
        return str(json.loads(quoted))
    except json.JSONDecodeError as error:
        raise _refusal(text, at, f"{quoted} is not a JSON string: {error.msg}", "") from None


def _refusal(text: str, at: int, message: str, fix: str) -> EditRefused:
    return EditRefused(f"path {text!r}: {message}", place=Place("<path>", 1, at + 1), fix=fix)


def format_path(path: Path) -> str:
    """Write a path down, so that `parse_path` reads the same path again.

    Arguments:
        path: its parts.

    Returns:
        The dotted form; ``.`` for the root.
    """
    if not path:
        return "."
    written = ""
    for part in path:
        if isinstance(part, int):
            written += f"[{part}]"
        elif isinstance(part, Where):
            bare = _BARE_VALUE.fullmatch(part.value)
            written += f"[{part.key}={part.value if bare else json.dumps(part.value, ensure_ascii=False)}]"
        elif _BARE_KEY.fullmatch(part):
            written += f".{part}" if written else part
        else:
            written += f"[{json.dumps(part, ensure_ascii=False)}]"
    return written
