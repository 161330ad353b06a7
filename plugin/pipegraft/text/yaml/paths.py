"""Where a value stands in a YAML document, and how people write that down.

A path is a tuple of mapping keys (``str``) and sequence indexes (``int``, from 0). Written down it is
dotted: ``spec.containers[0].image``; a key that holds a dot, a bracket, a quote or white space is
written ``["app.kubernetes.io/name"]``.
"""

from __future__ import annotations

import json
import re

from pipegraft.errors import EditRefused, Place

__all__ = ["Path", "format_path", "parse_path"]

Path = tuple[str | int, ...]
"""Mapping keys and sequence indexes from the root of a document; ``()`` is the root itself."""

_BARE_KEY = re.compile(r"""[^.\[\]"'\s]+""")
_INDEX = re.compile(r"\[([0-9]+)\]")
_DOUBLE_QUOTED = re.compile(r'\[("(?:[^"\\]|\\.)*")\]')
_SINGLE_QUOTED = re.compile(r"\['((?:[^']|'')*)'\]")


def parse_path(text: str) -> Path:
    """Read a written path.

    Arguments:
        text: ``a.b[0]["key.with.dots"]``; a dot before the first key is allowed, and ``.`` is the root.

    Returns:
        The keys and indexes.

    Raises:
        EditRefused: the text is not a path; the place gives the column.
    """
    if text == ".":
        return ()
    at = 1 if text.startswith(".") else 0
    parts: list[str | int] = []
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


def _part(text: str, at: int) -> tuple[str | int, int]:
    if not text.startswith("[", at):
        bare = _BARE_KEY.match(text, at)
        if not bare:
            found = repr(text[at]) if at < len(text) else "the end"
            raise _refusal(text, at, f"expected a key, found {found}", _QUOTE_IT)
        return bare[0], bare.end()
    if index := _INDEX.match(text, at):
        return int(index[1]), index.end()
    if quoted := _DOUBLE_QUOTED.match(text, at):
        try:
            return str(json.loads(quoted[1])), quoted.end()
        except json.JSONDecodeError as error:
            raise _refusal(text, at, f"the quoted key is not a JSON string: {error.msg}", "") from None
    if quoted := _SINGLE_QUOTED.match(text, at):
        return quoted[1].replace("''", "'"), quoted.end()
    if text.startswith("[-", at):
        raise _refusal(
            text, at, "an index counts from the start, from 0, found a negative one", "count from the start"
        )
    raise _refusal(text, at, 'expected [INDEX] or ["KEY"]', 'write [0], or ["key"]')


def _refusal(text: str, at: int, message: str, fix: str) -> EditRefused:
    return EditRefused(f"path {text!r}: {message}", place=Place("<path>", 1, at + 1), fix=fix)


def format_path(path: Path) -> str:
    """Write a path down, so that `parse_path` reads the same path again.

    Arguments:
        path: keys and indexes.

    Returns:
        The dotted form; ``.`` for the root.
    """
    if not path:
        return "."
    written = ""
    for part in path:
        if isinstance(part, int):
            written += f"[{part}]"
        elif _BARE_KEY.fullmatch(part):
            written += f".{part}" if written else part
        else:
            written += f"[{json.dumps(part, ensure_ascii=False)}]"
    return written
