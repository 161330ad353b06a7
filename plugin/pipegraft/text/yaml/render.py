"""New values as lines of a block, or in brackets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipegraft.text.yaml import scalars
from pipegraft.text.yaml.changes import Value, is_list

__all__ = [
    "Style",
    "as_flow",
    "body_lines",
    "entry_lines",
    "fits_literal",
    "item_lines",
    "node_lines",
    "on_one_line",
]

_NOT_IN_BLOCK = re.compile(
    "[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


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
            f"{scalars.write(key, flow=True, json_like=json_like)}:{blank}"
            + as_flow(item, json_like=json_like, tight=tight)
            for key, item in value.items()
        )
        return "{" + f",{blank}".join(pairs) + "}"
    if is_list(value):
        items = (as_flow(item, json_like=json_like, tight=tight) for item in value)
        return "[" + f",{blank}".join(items) + "]"
    return scalars.write(value, flow=True, json_like=json_like)


def entry_lines(key: str, value: Value, column: int, style: Style) -> list[str]:
    """The lines of a mapping entry whose key starts in a column, without line breaks."""
    head = " " * column + scalars.write(key) + ":"
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
    return as_flow(value) if isinstance(value, Mapping) or is_list(value) else scalars.write(value)


def fits_literal(value: str) -> bool:
    """Whether a string can stand under ``|`` with its indentation detected."""
    content = value.rstrip("\n")
    return bool(content) and not _NOT_IN_BLOCK.search(value) and content.lstrip("\n")[0] not in " \t"


def body_lines(content: str, indent: int) -> list[str]:
    """The lines of a literal scalar's body; blank lines stay blank."""
    return [" " * indent + line if line else "" for line in content.split("\n")]
