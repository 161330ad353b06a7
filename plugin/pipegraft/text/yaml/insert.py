"""Writing a value where there is none, and clearing one away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    ScalarEvent,
)

from pipegraft.core.errors import EditRefused
from pipegraft.text.yaml.blocks import cut_lines, lines_at, style_at
from pipegraft.text.yaml.changes import Change, Replaced, Value, Wanted, is_list, wanted
from pipegraft.text.yaml.flows import colon_behind, is_json
from pipegraft.text.yaml.layout import (
    block_scalar,
    column_of,
    content_end,
    entry_start,
    entry_stop,
    is_flow,
    line_break_near,
    line_end,
    next_line,
    without_break,
)
from pipegraft.text.yaml.locate import Step
from pipegraft.text.yaml.paths import Path, format_path
from pipegraft.text.yaml.render import as_flow, node_lines, on_one_line
from pipegraft.text.yaml.setting import token_for_nothing
from pipegraft.text.yaml.source import LINE_BREAK, Node, Source

__all__ = ["check_unused", "clear", "create_document", "fill", "replace_in_flow"]


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
