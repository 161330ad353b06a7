"""From a word typed on a command line to the value it is meant to be."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from pipegraft.core.errors import EditRefused
from pipegraft.text.yaml.reading import Read, get_value

__all__ = ["Kind", "value_of"]

Kind: TypeAlias = Literal["auto", "string", "int", "float", "bool", "null", "yaml"]
"""What a word is read as; ``auto`` goes by the value that it replaces."""

_INT = re.compile(r"0|-?[1-9][0-9]*")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)\.(?:0|[0-9]*[1-9])")
_BOOL = {"true": True, "false": False}


def value_of(word: str, kind: Kind = "auto", replaced: Read = "") -> Read:
    """Read a word.

    ``auto`` gives a string, unless a bool, a number or null stands in the place already and the word is
    written the one way that such a value is written: ``3``, ``0.5``, ``true``, ``null``. ``1.10`` is always
    a string, since as a number it would lose its last digit.

    Arguments:
        word: the text.
        kind: what to read it as.
        replaced: the value that stands in the place, for ``auto``.

    Returns:
        The value; ``yaml`` may also give a list or a dict.

    Raises:
        EditRefused: the word is no such value.
    """
    if kind == "string":
        return word
    if kind == "auto":
        return _like(word, replaced)
    if kind == "yaml":
        return get_value(word, (), file="<value>")
    reads = {"int": _number(word, whole=True), "float": _number(word), "bool": _BOOL.get(word)}
    value = reads.get(kind)
    if value is None and not (kind == "null" and word == "null"):
        raise EditRefused(f"{word!r} is no {kind}", fix=f"write {_EXAMPLES[kind]}, or choose another type")
    return value


_EXAMPLES = {
    "int": "a number such as 3",
    "float": "a number such as 0.5",
    "bool": "true or false",
    "null": "null",
}


def _like(word: str, replaced: Read) -> Read:
    if isinstance(replaced, bool):
        return _BOOL.get(word, word)
    if isinstance(replaced, int | float):
        number = _number(word)
        return word if number is None else number
    return None if replaced is None and word == "null" else word


def _number(word: str, *, whole: bool = False) -> int | float | None:
    if _INT.fullmatch(word):
        return int(word)
    return float(word) if _FLOAT.fullmatch(word) and not whole else None
