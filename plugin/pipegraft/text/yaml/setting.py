"""Replacing one scalar by another."""

from __future__ import annotations

import re

from yaml.events import AliasEvent, ScalarEvent

from pipegraft.text.yaml import scalars
from pipegraft.text.yaml.changes import Change, Replaced, Value, Wanted, wanted
from pipegraft.text.yaml.flows import colon_behind, is_json
from pipegraft.text.yaml.layout import (
    BlockScalar,
    block_scalar,
    column_of,
    content_start,
    is_flow,
    line_break_near,
)
from pipegraft.text.yaml.locate import Step
from pipegraft.text.yaml.render import as_flow, body_lines, fits_literal
from pipegraft.text.yaml.scalars import Scalar
from pipegraft.text.yaml.source import Node, Source

__all__ = ["set_empty", "set_scalar", "token_for_nothing"]


def set_scalar(source: Source, steps: tuple[Step, ...], node: Node, value: Scalar) -> Change | None:
    """Plan the replacement of a scalar or an alias.

    Arguments:
        source: the text.
        steps: the way to the node.
        node: a scalar or an alias.
        value: what to write there.

    Returns:
        The change; None if every reader sees the value there already.
    """
    event = source.events[node]
    if scalars.means(event, value):
        return None
    flow = bool(steps) and is_flow(source, steps[-1].container)
    if isinstance(event, AliasEvent):
        token = scalars.write(value, flow=flow, json_like=flow and _json_like(source, node))
        text = Replaced(source.start(node), source.end(node), token)
        return Change((text,), node, node + 1, (Wanted(ScalarEvent, value),))
    assert isinstance(event, ScalarEvent)  # noqa: S101 - the caller looked
    if not scalars.holds(event.tag, value):
        raise source.refusal(
            node,
            f"the tag {event.tag} stands here, and {value!r} is no value for it",
            "give a value of the tag's type, a string for a tag of your own; or remove the tag",
        )
    made = (Wanted(ScalarEvent, value, event.anchor, event.tag),)
    if event.style in {"|", ">"}:
        text = _block(source, steps, node, value)
    else:
        style = event.style or ""
        token = scalars.write(value, style, flow=flow, json_like=flow and _json_like(source, node))
        text = _token(source, steps, node, token)
    return Change((text,), node, node + 1, made)


def set_empty(source: Source, steps: tuple[Step, ...], node: Node, value: Value) -> Change:
    """Plan the replacement of a scalar or an alias by ``[]`` or ``{}``.

    Arguments:
        source: the text.
        steps: the way to the node.
        node: a scalar or an alias.
        value: an empty sequence or mapping.
    """
    event, token = source.events[node], as_flow(value)
    start, *rest = wanted(value)
    if isinstance(event, AliasEvent):
        text = Replaced(source.start(node), source.end(node), token)
        return Change((text,), node, node + 1, (start, *rest))
    if event.tag is not None:
        raise source.refusal(
            node, f"the tag {event.tag} stands here, and {token} is no value for it", "remove the tag"
        )
    text = (
        _over_block(source, node, token) if event.style in {"|", ">"} else _token(source, steps, node, token)
    )
    return Change((text,), node, node + 1, (Wanted(start.kind, anchor=event.anchor), *rest))


def _over_block(source: Source, node: Node, token: str) -> Replaced:
    old = block_scalar(source, node)
    return Replaced(old.start, old.end, token + old.comment)


def _json_like(source: Source, node: Node) -> bool:
    """Whether a string has to be quoted for JSON's sake: not where a bare word stands now."""
    event = source.events[node]
    bare_word = isinstance(event, ScalarEvent) and not event.style and isinstance(scalars.read(event), str)
    return not bare_word and is_json(source, node)


def _token(source: Source, steps: tuple[Step, ...], node: Node, token: str) -> Replaced:
    start, end = content_start(source, node), source.end(node)
    if (start < end and source.events[node].value) or source.events[node].style:
        return Replaced(start, end, token)
    if source.start(node) < end:  # only an anchor or a tag stands there
        return Replaced(end, end, f" {token}")
    return token_for_nothing(source, steps, node, token)


def token_for_nothing(source: Source, steps: tuple[Step, ...], node: Node, token: str) -> Replaced:
    """Write a value where there is none: behind the colon or the dash, before the padding of a comment.

    Arguments:
        source: the text.
        steps: the way to the node.
        node: an empty value.
        token: what to write, on one line.
    """
    at = source.end(node)
    if not steps:
        marker = source.end(node - 1)  # behind '---'
        return Replaced(marker, marker, f" {token}")
    key = steps[-1].key
    if key is None:
        return Replaced(at, at, f" {token}")
    colon = colon_behind(source, key, at)
    if colon is not None:
        return Replaced(colon, colon, f" {token}")
    if is_flow(source, steps[-1].container):
        behind = source.end(source.closing[key] - 1)
        return Replaced(behind, behind, f": {token}")
    indent = " " * column_of(source, steps[-1].container)
    return Replaced(at, at, f"{indent}: {token}{line_break_near(source.text, at)}")


def _block(source: Source, steps: tuple[Step, ...], node: Node, value: Scalar) -> Replaced:
    """Replace a literal or folded scalar: header and indentation stay where the new value allows it."""
    old = block_scalar(source, node)
    if not isinstance(value, str) or not fits_literal(value):
        return _over_block(source, node, scalars.write(value, '"'))
    content = value.rstrip("\n")
    newlines = len(value) - len(content)
    line_break = line_break_near(source.text, old.body)
    indent = old.indent if old.indent is not None else _new_indent(source, steps)
    style = old.style if old.style == "|" or _fits_folded(content) else "|"
    lines = body_lines(re.sub("\n+", r"\g<0>\n", content) if style == ">" else content, indent)
    chomping = _chomping(old, newlines)
    head = f"{style}{old.digit}{chomping}{old.comment}"
    if chomping == "+":
        # Blank lines behind the body count now: they become what the value says.
        return Replaced(old.start, old.stop, line_break.join((head, *lines, *[""] * newlines)))
    open_end = not chomping and old.end == len(source.text)  # the last line break counts: write it
    return Replaced(old.start, old.end, line_break.join((head, *lines, *[""] * open_end)))


def _chomping(old: BlockScalar, newlines: int) -> str:
    if newlines == 0:
        return "-"
    return "+" if newlines > 1 or old.chomping == "+" else ""


def _fits_folded(content: str) -> bool:
    return not any(line[:1] in {" ", "\t"} for line in content.split("\n"))


def _new_indent(source: Source, steps: tuple[Step, ...]) -> int:
    return column_of(source, steps[-1].container) + 2 if steps else 2
