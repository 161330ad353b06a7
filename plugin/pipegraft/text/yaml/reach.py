"""From a path to its node, or the reason why it leads nowhere and what to do about it."""

from __future__ import annotations

import difflib

from yaml.events import MappingStartEvent, SequenceStartEvent

from pipegraft.core.errors import EditRefused, Place
from pipegraft.text.yaml.locate import Walk, entry_text, keys_of, walk
from pipegraft.text.yaml.paths import Path, Where, format_path
from pipegraft.text.yaml.source import Node, Source

__all__ = ["document_root", "missing", "reach"]


def reach(source: Source, path: Path, document: int | None) -> Walk:
    """Follow a path to its end, through aliases and merge keys.

    Raises:
        EditRefused: the path is missing or ambiguous.
    """
    reached = walk(source, document_root(source, path, document), path, follow=True)
    if not reached.complete:
        raise missing(source, reached)
    return reached


def document_root(source: Source, path: Path, document: int | None) -> Node:
    """The root node of the document an operation is meant for.

    Arguments:
        source: the text.
        path: where the operation goes: without a number, the one document that has it is meant.
        document: the document's number, from 0.

    Raises:
        EditRefused: no such document, or more than one comes into question.
    """
    roots = [start + 1 for start in source.documents]
    count = len(roots)
    if document is not None:
        if not 0 <= document < count:
            raise EditRefused(
                f"there is no document {document}: the file has {count}, counted from 0",
                place=Place(source.file),
                fix="give the number of a document that exists",
            )
        return roots[document]
    if not count:
        raise EditRefused(
            f"{format_path(path)} is missing: the file is empty",
            place=Place(source.file, 1, 1),
            fix="add the value by hand first, or ask for it to be created",
        )
    if count == 1:
        return roots[0]
    having = [root for root in roots if walk(source, root, path, follow=True).complete]
    if len(having) == 1:
        return having[0]
    what = f"{len(having)} of them have {format_path(path)}" if having else f"none has {format_path(path)}"
    raise EditRefused(
        f"the file holds {count} documents and {what}",
        place=source.place(source.start(having[1] if having else roots[1])),
        fix=f"say which one is meant by its number, from 0 to {count - 1}",
    )


def missing(source: Source, reached: Walk) -> EditRefused:
    """The error for a path that ends early: what exists, what is there, what may have been meant."""
    path, done = reached.path, reached.done
    part = path[len(done)]
    event = source.events[reached.node]
    here = f"{format_path(done)} is" if done else "the document is"
    if isinstance(event, MappingStartEvent) and isinstance(part, str):
        keys = keys_of(source, reached.node)
        near = difflib.get_close_matches(part, keys, n=1)
        fix = f"did you mean {format_path((*done, near[0]))}?" if near else _there("keys", keys)
        what = f"{here} a mapping without the key {part!r}"
    elif isinstance(event, SequenceStartEvent) and isinstance(part, int):
        count = len(source.children(reached.node))
        what = f"{here} a sequence of {count}, counted from 0"
        fix = f"take an index from 0 to {count - 1}" if count else "add an item first"
    elif isinstance(event, SequenceStartEvent) and isinstance(part, Where):
        what = f"{here} a sequence without an item whose {part.key} is {part.value!r}"
        values = (entry_text(source, item, part.key) for item in source.children(reached.node))
        fix = _there(f"values of {part.key}", [value for value in values if value is not None])
    elif isinstance(event, MappingStartEvent):
        fix = (
            f"write the key as {format_path((*done, str(part)))}" if isinstance(part, int) else "write a key"
        )
        what = f"{here} a mapping, and {format_path((part,))} is no key"
    elif isinstance(event, SequenceStartEvent):
        what, fix = f"{here} a sequence, and {part!r} is a key", "write an index, [0] for the first item"
    else:
        what, fix = f"{here} a single value, nothing is inside it", f"let the path end at {format_path(done)}"
    return source.refusal(reached.node, f"{format_path(path)} is missing: {what}", fix)


def _there(what: str, names: list[str]) -> str:
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"the {what} there are: {shown}" if names else f"there are no {what}"
