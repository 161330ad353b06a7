"""New values as lines of a block, or in brackets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipegraft.text.yaml import scalars
from pipegraft.text.yaml.changes import Value

__all__ = ["Style", "as_flow", "body_lines", "entry_lines", "fits_literal", "item_lines", "node_lines"]

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


def as_flow(value: Value, *, json_like: bool = False) -> str:
    """A value on one line, as it stands inside brackets.

    Arguments:
        value: what to write.
        json_like: whether to write JSON: quoted keys and strings.
    """
    if isinstance(value, Mapping):
        pairs = (
            f"{scalars.write(key, flow=True, json_like=json_like)}: {as_flow(item, json_like=json_like)}"
            for key, item in value.items()
        )
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(as_flow(item, json_like=json_like) for item in value) + "]"
    return scalars.write(value, flow=True, json_like=json_like)


def entry_lines(key: str, value: Value, column: int, style: Style) -> list[str]:
    """The lines of a mapping entry whose key starts in a column, without line breaks."""
    head = " " * column + scalars.write(key) + ":"
    if isinstance(value, Mapping) and value:
        return [head, *node_lines(value, column + style.step, style)]
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return [head, *node_lines(value, column + style.dash, style)]
    return _with_scalar(f"{head} ", value, column + style.step, style)


def item_lines(value: Value, column: int, style: Style) -> list[str]:
    """The lines of a sequence item whose dash stands in a column, without line breaks."""
    dash = " " * column + "- "
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str) and value:
        lines = node_lines(value, column + 2, style)
        return [dash + lines[0][column + 2 :], *lines[1:]]
    return _with_scalar(dash, value, column + 2, style)


def node_lines(value: Value, column: int, style: Style) -> list[str]:
    """The lines of a mapping or sequence that is not empty, its entries in a column."""
    if isinstance(value, Mapping):
        return [line for key, item in value.items() for line in entry_lines(key, item, column, style)]
    assert isinstance(value, Sequence)  # noqa: S101 - scalars are written by their entry
    return [line for item in value for line in item_lines(item, column, style)]


def _with_scalar(head: str, value: Value, indent: int, style: Style) -> list[str]:
    if style.literal and isinstance(value, str) and "\n" in value and fits_literal(value):
        content = value.rstrip("\n")
        chomping = ("-", "")[len(value) - len(content)] if len(value) - len(content) < 2 else "+"
        extra = [""] * (len(value) - len(content) - 1)
        return [f"{head}|{chomping}", *body_lines(content, indent), *extra]
    return [head + as_block_scalar(value)]


def as_block_scalar(value: Value) -> str:
    """A scalar or an empty collection outside brackets, on one line."""
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        return as_flow(value)
    return scalars.write(value)


def fits_literal(value: str) -> bool:
    """Whether a string can stand under ``|`` with its indentation detected."""
    content = value.rstrip("\n")
    return bool(content) and not _NOT_IN_BLOCK.search(value) and content.lstrip("\n")[0] not in " \t"


def body_lines(content: str, indent: int) -> list[str]:
    """The lines of a literal scalar's body; blank lines stay blank."""
    return [" " * indent + line if line else "" for line in content.split("\n")]
