"""Writing one value: over a scalar, where nobody wrote any, into brackets; and clearing one away."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    ScalarEvent,
)

from pipegraft.core.errors import EditRefused
from pipegraft.text.yaml.changes import Change, Replaced, Wanted, wanted
from pipegraft.text.yaml.entries import cut_lines, lines_at, style_at
from pipegraft.text.yaml.layout import (
    BlockScalar,
    block_scalar,
    colon_behind,
    column_of,
    content_end,
    content_start,
    entry_start,
    entry_stop,
    is_flow,
    is_json,
    line_break_near,
    line_end,
    next_line,
    without_break,
)
from pipegraft.text.yaml.paths import Path, Step, format_path
from pipegraft.text.yaml.source import LINE_BREAK, Node, Source
from pipegraft.text.yaml.values import (
    Scalar,
    Value,
    as_flow,
    body_lines,
    fits_literal,
    holds,
    is_list,
    means,
    node_lines,
    on_one_line,
    read_scalar,
    write_scalar,
)

__all__ = [
    "check_unused",
    "clear",
    "create_document",
    "fill",
    "replace_in_flow",
    "set_empty",
    "set_scalar",
    "token_for_nothing",
]


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
    if means(event, value):
        return None
    flow = bool(steps) and is_flow(source, steps[-1].container)
    if isinstance(event, AliasEvent):
        token = write_scalar(value, flow=flow, json_like=flow and _json_like(source, node))
        text = Replaced(source.start(node), source.end(node), token)
        return Change((text,), node, node + 1, (Wanted(ScalarEvent, value),))
    assert isinstance(event, ScalarEvent)  # noqa: S101 - the caller looked
    if not holds(event.tag, value):
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
        token = write_scalar(value, style, flow=flow, json_like=flow and _json_like(source, node))
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
    bare_word = isinstance(event, ScalarEvent) and not event.style and isinstance(read_scalar(event), str)
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
        return _over_block(source, node, write_scalar(value, '"'))
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


def create_document(source: Source, value: Value) -> Change:
    """Plan the first document of a file that holds none: at its end, behind its comments."""
    if not isinstance(value, Mapping) or not value:
        raise EditRefused(
            "an empty file can only be given a mapping", place=source.place(0), fix="name a key"
        )
    end = len(source.text)
    text = lines_at(source, end, node_lines(value, 0, style_at(source, 0, end)))
    made = (Wanted(DocumentStartEvent), *wanted(value), Wanted(DocumentEndEvent))
    return Change((text,), 1, 1, made)


def fill(source: Source, steps: tuple[Step, ...], node: Node, value: Value) -> Change:
    """Plan a value where nobody wrote one: behind ``key:``, behind a dash, in an empty document."""
    event = source.events[node]
    if event.tag is not None:
        raise source.refusal(node, f"the tag {event.tag} stands here without a value", "remove the tag")
    start, *inside = wanted(value)
    made = (Wanted(start.kind, start.value, event.anchor, event.tag), *inside)
    in_flow = bool(steps) and is_flow(source, steps[-1].container)
    if in_flow or not value or not (isinstance(value, Mapping) or is_list(value)):
        token = as_flow(value, json_like=is_json(source, node)) if in_flow else on_one_line(value)
        return Change((token_for_nothing(source, steps, node, token),), node, node + 1, made)
    return Change((_filled(source, steps, node, value),), node, node + 1, made)


def _filled(source: Source, steps: tuple[Step, ...], node: Node, value: Value) -> Replaced:
    end = source.end(node)
    if not steps:
        stop = next_line(source.text, source.end(node - 1))  # behind the line of '---'
        return lines_at(source, stop, node_lines(value, 0, style_at(source, node, stop)))
    container = steps[-1].container
    column = column_of(source, container)
    stop = entry_stop(source, node, column)
    style = style_at(source, container, stop)
    if steps[-1].key is not None:
        deeper = style.step if isinstance(value, Mapping) else style.dash
        return lines_at(source, stop, node_lines(value, column + deeper, style))
    if end < line_end(source.text, end):  # blanks that end this line will end the last new one
        style = replace(style, literal=False)
    lines = node_lines(value, column + 2, style)
    if source.text[end : line_end(source.text, end)].strip(" ") or end > source.start(node):
        return lines_at(source, stop, lines)
    joined = line_break_near(source.text, next_line(source.text, end)).join(lines)
    return Replaced(end, end, f" {joined.lstrip(' ')}")


def replace_in_flow(source: Source, node: Node, value: Value) -> Change:
    """Plan another value in place of one inside brackets, on one line."""
    written = as_flow(value, json_like=is_json(source, node))
    text = Replaced(source.start(node), content_end(source, node), written)
    return Change((text,), node, source.closing[node], tuple(wanted(value)))


def clear(source: Source, step: Step) -> Change:
    """Plan to leave nothing of a value in a block collection; a comment behind its key stays."""
    node, text = step.value, source.text
    start = source.start(node)
    stop = entry_stop(source, node, column_of(source, step.container))
    if step.key is None:
        behind: int | None = entry_start(source, step.container, node) + 1
    else:
        behind = colon_behind(source, step.key, start)
    if behind is None:
        raise source.refusal(node, "the value has no colon of its own", "make this edit by hand")
    made = (Wanted(ScalarEvent, None),)
    if LINE_BREAK.search(text, behind, start):
        cut = cut_lines(source, node, next_line(text, behind), stop)
    else:
        cut = Replaced(behind, _last_end(source, node, stop), "")
    return Change((cut,), node, source.closing[node], made)


def _last_end(source: Source, node: Node, stop: int) -> int:
    event = source.events[node]
    if not getattr(event, "flow_style", True):  # a block collection: a comment in its last line is its own
        return without_break(source.text, stop)
    return (
        block_scalar(source, node).end
        if getattr(event, "style", "") in {"|", ">"}
        else content_end(source, node)
    )


def check_unused(source: Source, node: Node, last: Node, path: Path) -> None:
    """Refuse to take away an anchor that an alias outside needs.

    Arguments:
        source: the text.
        node: the first node that goes.
        last: behind the last node that goes.
        path: where it is, for the message.
    """
    carriers = {carrier for nodes in source.anchors.values() for carrier in nodes if node <= carrier < last}
    if not carriers:
        return
    for index in range(last, len(source.events)):
        event = source.events[index]
        if isinstance(event, AliasEvent) and source.anchored(index) in carriers:
            line = source.place(source.start(index)).line
            raise source.refusal(
                source.anchored(index),
                f"{format_path(path)} holds &{event.anchor}, which line {line} uses",
                f"move &{event.anchor} to a place that stays",
            )
