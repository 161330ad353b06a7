"""What a scalar means to the readers of YAML in use, and how to write one so that all of them agree.

Readers disagree about plain scalars: YAML 1.1 (PyYAML, SnakeYAML in Jenkins, Psych in GitLab) takes
``on``, ``1:20``, ``0123``, ``1_000`` and ``2024-01-01`` for something else than a string, YAML 1.2 takes
``1e3`` and ``0o17``. What they disagree about is read here as the string that stands there, and never
written without quotes.
"""

from __future__ import annotations

import math
import re
from typing import TypeAlias

from yaml.events import ScalarEvent

from pipegraft.core.errors import EditRefused
from pipegraft.text.yaml.source import Event

__all__ = ["Scalar", "holds", "means", "read", "same", "typed_somewhere", "write"]

Scalar: TypeAlias = str | int | float | bool | None
"""What a scalar can hold."""

_CORE = "tag:yaml.org,2002:"
_CORE_TAGS = {f"{_CORE}null": None, f"{_CORE}bool": bool, f"{_CORE}int": int, f"{_CORE}float": float}
_CONSTANTS: dict[str, bool | None] = (
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("true", "True", "TRUE"), True)
    | dict.fromkeys(("false", "False", "FALSE"), False)
)
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"(?:[-+]?[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"([-+]?)\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")

_TYPED_SOMEWHERE = re.compile(
    r"""
      ~ | null | true | false | yes | no | on | off | y | n | = | <<
    | [-+]?\.(?:inf|nan)
    | [-+]?0(?:b[01_]+ | o[0-7_]+ | x[0-9a-f_,]+)
    | [-+]?(?:\.[0-9][0-9_]* | [0-9][0-9_,]*(?:\.[0-9_]*)?)(?:e[-+]?[0-9]+)? # octal, Psych's commas
    | [-+]?[0-9][0-9_,]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)? # base 60
    | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[T\s].*)? # date, time
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PRINTABLE = "\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff"
_NEEDS_ESCAPE = re.compile(f"[^{_PRINTABLE}]")
_NEEDS_QUOTES = re.compile(
    r"""
      ^ (?: [,\[\]{}\#&*!|>'"%@`:?\s] | -(?!-*[A-Za-z0-9]) | \.\.\. )     # indicators, document markers
    | : (?: \s | $ )
    | \s (?: \# | $ )
    """,
    re.VERBOSE,
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_FLOW_INDICATOR = re.compile(r"[,\[\]{}]")
_ESCAPES = {"\n": r"\n", "\t": r"\t", "\r": r"\r", "\b": r"\b", "\f": r"\f"}


def read(event: Event) -> Scalar:
    """The value of a scalar event, as far as readers agree on it.

    Arguments:
        event: a scalar event.

    Returns:
        Null, a bool, an int or a float where YAML 1.1 and 1.2 readers see the same one; otherwise the text.
    """
    assert isinstance(event, ScalarEvent)  # noqa: S101 - callers look at the type first
    untagged_plain = event.tag is None and not event.style
    if untagged_plain or event.tag in _CORE_TAGS:
        return _read_plain(event.value)
    return str(event.value)


def _read_plain(text: str) -> Scalar:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _HEX.fullmatch(text):
        return int(text, 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    if special := _SPECIAL_FLOAT.fullmatch(text):
        return float("nan") if special[1] is None else float(f"{special[1]}inf")
    return text


def typed_somewhere(text: str) -> bool:
    """Whether a plain scalar is no string for a reader of YAML 1.1 or 1.2, Go's or JSON's among them."""
    return not text or bool(_TYPED_SOMEWHERE.fullmatch(text))


def same(one: Scalar, other: Scalar) -> bool:
    """Whether two values are of one type and equal; NaN equals NaN here."""
    if type(one) is not type(other):
        return isinstance(one, str) and isinstance(other, str) and one == other
    return one == other or (one != one and other != other)  # noqa: PLR0124 - only NaN differs from itself


def means(event: Event, value: Scalar) -> bool:
    """Whether every reader takes the scalar event for this value.

    Arguments:
        event: any event; what is no scalar means no scalar value.
        value: the value in question.
    """
    if not isinstance(event, ScalarEvent) or not same(read(event), value):
        return False
    bare = event.tag is None and not event.style
    return not (isinstance(value, str) and bare and _TYPED_SOMEWHERE.fullmatch(value))


def holds(tag: str | None, value: Scalar) -> bool:
    """Whether a value can stand behind a tag; behind one that is not YAML's own only strings can."""
    if tag is None:
        return True
    kind = _CORE_TAGS.get(tag, str)
    return value is None if kind is None else type(value) is kind or (kind is str and isinstance(value, str))


def write(value: Scalar, style: str = "", *, flow: bool = False, json_like: bool = False) -> str:
    """Write a value on one line, in the style given if that can hold it.

    Arguments:
        value: what to write.
        style: ``'``, ``"`` or empty for plain; only strings are quoted.
        flow: whether it stands inside ``[ ]`` or ``{ }``.
        json_like: whether its neighbours are JSON: strings get double quotes.

    Returns:
        The token, without line breaks.

    Raises:
        EditRefused: the string has half a surrogate pair, which no file can hold.
    """
    if not isinstance(value, str):
        return _write_typed(value)
    if half := _SURROGATE.search(value):
        raise EditRefused(f"the new value holds U+{ord(half[0]):04X}, half a character", fix="leave it out")
    if style == "'" and not _NEEDS_ESCAPE.search(value):
        return _single(value)
    if style in {"'", '"'} or json_like:
        return _double(value)
    if _plain_is_safe(value, flow):
        return value
    escapes = _NEEDS_ESCAPE.search(value) or not ('"' in value or "\\" in value)
    return _double(value) if escapes else _single(value)


def _plain_is_safe(value: str, flow: bool) -> bool:
    return not (
        not value
        or _NEEDS_ESCAPE.search(value)
        or _NEEDS_QUOTES.search(value)
        or (flow and _FLOW_INDICATOR.search(value))
        or _TYPED_SOMEWHERE.fullmatch(value)
    )


def _write_typed(value: float | bool | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    digits = repr(float(value))
    # YAML 1.1 knows no exponent without a point: 1e+20 would be a string there.
    return digits if "." in digits else digits.replace("e", ".0e")


def _single(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _double(value: str) -> str:
    # Only escapes that JSON has too, so that flow collections stay readable as JSON.
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + _NEEDS_ESCAPE.sub(lambda bad: _ESCAPES.get(bad[0]) or f"\\u{ord(bad[0]):04x}", escaped) + '"'
