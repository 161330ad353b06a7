"""Values: what a scalar means to the readers of YAML in use, and how any value is written.

Readers disagree about plain scalars: YAML 1.1 (PyYAML, SnakeYAML in Jenkins, Psych in GitLab) takes
``on``, ``1:20``, ``0123``, ``1_000`` and ``2024-01-01`` for something else than a string, YAML 1.2 takes
``1e3`` and ``0o17``. What they disagree about is read here as the string that stands there, and never
written without quotes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from yaml.events import ScalarEvent

from pipegraft.core.errors import EditRefused
from pipegraft.text.yaml.source import Event

if TYPE_CHECKING:
    from typing_extensions import TypeIs

__all__ = [
    "Scalar",
    "Style",
    "Value",
    "as_flow",
    "body_lines",
    "entry_lines",
    "fits_literal",
    "holds",
    "is_list",
    "item_lines",
    "means",
    "node_lines",
    "on_one_line",
    "read_scalar",
    "same",
    "typed_somewhere",
    "write_scalar",
]

Scalar: TypeAlias = str | int | float | bool | None
"""What a scalar can hold."""
Value: TypeAlias = "Scalar | Mapping[str, Value] | Sequence[Value]"
"""What an edit can write."""

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


def read_scalar(event: Event) -> Scalar:
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
    if not isinstance(event, ScalarEvent) or not same(read_scalar(event), value):
        return False
    bare = event.tag is None and not event.style
    return not (isinstance(value, str) and bare and _TYPED_SOMEWHERE.fullmatch(value))


def holds(tag: str | None, value: Scalar) -> bool:
    """Whether a value can stand behind a tag; behind one that is not YAML's own only strings can."""
    if tag is None:
        return True
    kind = _CORE_TAGS.get(tag, str)
    return value is None if kind is None else type(value) is kind or (kind is str and isinstance(value, str))


def write_scalar(value: Scalar, style: str = "", *, flow: bool = False, json_like: bool = False) -> str:
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


_NOT_IN_BLOCK = re.compile(
    "[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def is_list(value: Value) -> TypeIs[Sequence[Value]]:
    """Whether a value is a sequence; a string is none here."""
    return isinstance(value, Sequence) and not isinstance(value, str)


@dataclass(frozen=True, slots=True)
class Style:
    """How the surrounding text indents.

    Arguments:
        step: spaces by which a mapping inside a mapping is indented.
        dash: spaces by which the dashes of a sequence inside a mapping are indented.
        literal: whether text of several lines may stand under ``|``; otherwise it is quoted.
    """

    step: int = 2
    dash: int = 2
    literal: bool = True


def as_flow(value: Value, *, json_like: bool = False, tight: bool = False) -> str:
    """A value on one line, as it stands inside brackets.

    Arguments:
        value: what to write.
        json_like: whether to write JSON: quoted keys and strings.
        tight: whether to leave out the blanks; keys must be quoted then.
    """
    blank = "" if tight else " "
    if isinstance(value, Mapping):
        pairs = (
            f"{write_scalar(key, flow=True, json_like=json_like)}:{blank}"
            + as_flow(item, json_like=json_like, tight=tight)
            for key, item in value.items()
        )
        return "{" + f",{blank}".join(pairs) + "}"
    if is_list(value):
        items = (as_flow(item, json_like=json_like, tight=tight) for item in value)
        return "[" + f",{blank}".join(items) + "]"
    return write_scalar(value, flow=True, json_like=json_like)


def entry_lines(key: str, value: Value, column: int, style: Style) -> list[str]:
    """The lines of a mapping entry whose key starts in a column, without line breaks."""
    head = " " * column + write_scalar(key) + ":"
    if not _takes_lines(value):
        return _one_value(f"{head} ", value, column + style.step, style)
    deeper = style.step if isinstance(value, Mapping) else style.dash
    return [head, *node_lines(value, column + deeper, style)]


def item_lines(value: Value, column: int, style: Style) -> list[str]:
    """The lines of a sequence item whose dash stands in a column, without line breaks."""
    dash = " " * column + "- "
    if not _takes_lines(value):
        return _one_value(dash, value, column + 2, style)
    first, *rest = node_lines(value, column + 2, style)
    return [dash + first[column + 2 :], *rest]


def node_lines(value: Value, column: int, style: Style) -> list[str]:
    """The lines of a mapping or sequence that is not empty, its entries in a column."""
    if isinstance(value, Mapping):
        return [line for key, item in value.items() for line in entry_lines(key, item, column, style)]
    assert is_list(value)  # noqa: S101 - scalars are written by their entry
    return [line for item in value for line in item_lines(item, column, style)]


def _takes_lines(value: Value) -> bool:
    return (isinstance(value, Mapping) or is_list(value)) and bool(value)


def _one_value(head: str, value: Value, indent: int, style: Style) -> list[str]:
    if not style.literal or not isinstance(value, str) or "\n" not in value or not fits_literal(value):
        return [head + on_one_line(value)]
    content = value.rstrip("\n")
    newlines = len(value) - len(content)
    if newlines > 1:  # under '|+' blank lines that follow would count too
        return [head + on_one_line(value)]
    return [f"{head}|{'' if newlines else '-'}", *body_lines(content, indent)]


def on_one_line(value: Value) -> str:
    """A scalar or an empty collection, outside brackets."""
    return as_flow(value) if isinstance(value, Mapping) or is_list(value) else write_scalar(value)


def fits_literal(value: str) -> bool:
    """Whether a string can stand under ``|`` with its indentation detected."""
    content = value.rstrip("\n")
    return bool(content) and not _NOT_IN_BLOCK.search(value) and content.lstrip("\n")[0] not in " \t"


def body_lines(content: str, indent: int) -> list[str]:
    """The lines of a literal scalar's body; blank lines stay blank."""
    return [" " * indent + line if line else "" for line in content.split("\n")]
