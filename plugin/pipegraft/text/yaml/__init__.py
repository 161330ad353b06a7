"""Byte-exact YAML editing: what an edit does not name stays as it is, to the byte.

    >>> apply("image: web:1  # pinned\\n", [Set(("image",), "web:2")])
    'image: web:2  # pinned\\n'

Texts are ``str``; read and write files as bytes (`decode`, ``text.encode()``), so that line ends and the
byte-order mark stay what they are. What cannot be done exactly is refused with `EditRefused`.

Marks are for files that are no YAML yet, such as templates::

    {{- if .Values.web }}
    image: registry.example.com/web:v1  # pipegraft:set=web.image
    {{- end }}

Only the value in front of a mark changes. Its line is edited as a YAML document of its own, under the rules
of `Set`; where the file as a whole is YAML, the whole is proved too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal, TypeAlias

from yaml.events import MappingStartEvent, ScalarEvent, SequenceStartEvent

from pipegraft.core.errors import EditRefused, Place
from pipegraft.text.yaml.changes import alike, make
from pipegraft.text.yaml.layout import is_flow
from pipegraft.text.yaml.paths import (
    Path,
    Step,
    Where,
    format_path,
    leaves,
    parse_path,
    split_assignment,
    value_at,
)
from pipegraft.text.yaml.planning import Policy, plan_insert, plan_put, plan_remove, plan_set
from pipegraft.text.yaml.reading import (
    aliases_of,
    document_with,
    get_text,
    get_value,
    has_path,
    locate,
    read_documents,
)
from pipegraft.text.yaml.setting import set_scalar
from pipegraft.text.yaml.source import Event, Source, Span, decode, parse, place_in, read_events
from pipegraft.text.yaml.values import Scalar, Value, means

__all__ = [
    "Edit",
    "Insert",
    "Path",
    "Put",
    "Remove",
    "Scalar",
    "Set",
    "Span",
    "Where",
    "aliases_of",
    "apply",
    "changed_scalars",
    "decode",
    "document_with",
    "format_path",
    "get_text",
    "get_value",
    "has_path",
    "leaves",
    "locate",
    "marked_names",
    "parse_path",
    "read_documents",
    "set_marked",
    "set_values",
    "split_assignment",
    "value_at",
]


@dataclass(frozen=True, slots=True)
class Set:
    """Replace the scalar at a path that exists.

    Arguments:
        path: keys and indexes.
        value: the new value.
    """

    path: Path
    value: Scalar


@dataclass(frozen=True, slots=True)
class Put:
    """Make a mapping hold an entry, whether it has it or not.

    What is there is changed as little as possible: of two mappings only the differing entries, of two
    sequences only the differing items. A new entry comes last in its mapping; missing mappings on the
    way are made too.

    Arguments:
        path: keys and indexes; the last part is a key unless the path exists.
        value: a scalar, a mapping or a sequence.
    """

    path: Path
    value: Value


@dataclass(frozen=True, slots=True)
class Insert:
    """Add an item to a sequence that exists.

    Arguments:
        path: where the sequence is.
        index: what index the item gets, from 0; None to append it.
        value: a scalar, a mapping or a sequence.
    """

    path: Path
    index: int | None
    value: Value


@dataclass(frozen=True, slots=True)
class Remove:
    """Take an entry out of its mapping or sequence, with its own lines.

    Arguments:
        path: where it is.
    """

    path: Path


Edit: TypeAlias = Set | Put | Insert | Remove


def set_values(
    text: str,
    values: Mapping[str | Path, Scalar],
    *,
    document: int | None = None,
    file: str = "<text>",
    on_alias: Literal["refuse", "detach"] = "refuse",
    on_inherited: Literal["refuse", "add"] = "refuse",
) -> str:
    """Replace scalars that exist, all in one pass, and leave every other byte alone.

    Arguments:
        text: the YAML text.
        values: path, written or as a tuple, to new value.
        document, file, on_alias, on_inherited: as for `apply`.

    Returns:
        The new text; the same one if every value is there already.

    Raises:
        EditRefused: as for `apply`.
    """
    edits = [
        Set(parse_path(path) if isinstance(path, str) else path, value) for path, value in values.items()
    ]
    return apply(text, edits, document=document, file=file, on_alias=on_alias, on_inherited=on_inherited)


def apply(
    text: str,
    edits: Iterable[Edit],
    *,
    document: int | None = None,
    file: str = "<text>",
    on_alias: Literal["refuse", "detach"] = "refuse",
    on_inherited: Literal["refuse", "add"] = "refuse",
) -> str:
    """Apply edits as if one after the other, and leave every byte alone that they do not name.

    After each step the text is parsed again, and nothing but what the edit says may have changed.

    Arguments:
        text: the YAML text, with any line ends, with or without a byte-order mark.
        edits: what to do.
        document: the number of the document, from 0; needed when more than one has the path.
        file: name for error messages.
        on_alias: what to do with a value that is an alias: ``detach`` writes the new value in its place.
        on_inherited: what to do with a key that comes through ``<<``: ``add`` writes it into the mapping
            itself, where it is stronger.

    Returns:
        The new text; the same one if everything is there already.

    Raises:
        EditRefused: the text does not parse, a path is missing or ambiguous, or the edit could not be
            made exactly. Nothing is changed then.
    """
    policy = Policy(document, on_alias, on_inherited)
    for batch in _batches(edits):
        if isinstance(batch, list):
            source = parse(text, file)
            planned = [plan_set(source, edit.path, edit.value, policy) for edit in batch]
            text = make(source, [change for change in planned if change])
        else:
            text = _apply(text, batch, policy, file)
    return text


def _batches(edits: Iterable[Edit]) -> Iterator[list[Set] | Put | Insert | Remove]:
    """Sets of different paths that follow each other go together, everything else alone."""
    sets: list[Set] = []
    for edit in edits:
        again = isinstance(edit, Set) and any(one.path == edit.path for one in sets)
        if sets and (again or not isinstance(edit, Set)):
            yield sets
            sets = []
        if isinstance(edit, Set):
            sets.append(edit)
        else:
            yield edit
    if sets:
        yield sets


def _apply(text: str, edit: Put | Insert | Remove, policy: Policy, file: str) -> str:
    """Apply one edit that may need more than one step."""
    if isinstance(edit, Put):
        while (step := plan_put(source := parse(text, file), edit.path, edit.value, policy)) is not None:
            text = make(source, [step])
        return text
    source = parse(text, file)
    if isinstance(edit, Insert):
        return make(source, [plan_insert(source, edit.path, edit.index, edit.value, policy)])
    return make(source, [plan_remove(source, edit.path, policy)])


_MARKER = re.compile(r"(?<![^ \t\r\n])#[ \t]*pipegraft:set=([\w./-]+)(?![^ \t\r\n])[^\r\n]*")
_MARK_ANOTHER = "mark a line that reads 'key: value' or '- value', with nothing else in it"
_TEMPLATE = re.compile(r"\{\{|\{%|<%")


@dataclass(frozen=True, slots=True)
class _Mark:
    """A marker: its name, where its line starts, where it starts itself and where it ends."""

    name: str
    line: int
    start: int
    end: int


def marked_names(text: str) -> tuple[str, ...]:
    """The names that markers in a text give to values, each once, in order."""
    return tuple(dict.fromkeys(mark.name for mark in _marks(text)))


def set_marked(text: str, values: Mapping[str, Scalar], *, file: str = "<text>") -> str:
    """Set the values in front of markers, ``# pipegraft:set=NAME``, and leave every other byte alone.

    Arguments:
        text: any text; only the lines with these markers need to be YAML.
        values: name to new value; where several markers have one name, all their values are set.
        file: name for error messages.

    Returns:
        The new text; the same one if every value is there already.

    Raises:
        EditRefused: a name has no marker, or it is not plain which value a marker means.
    """
    marks = _marks(text)
    for name in values:
        if not any(mark.name == name for mark in marks):
            raise _unknown(name, marks, file)
    new, made = text, []
    for mark in reversed(marks):
        if mark.name in values:
            line = _edited_line(text, mark, values[mark.name], file)
            if line != text[mark.line : mark.end]:
                made.append(values[mark.name])
                new = new[: mark.line] + line + new[mark.end :]
    _prove(text, new, made[::-1], file)
    return new


def _marks(text: str) -> list[_Mark]:
    return [
        _Mark(
            found[1],
            max(text.rfind("\n", 0, found.start()), text.rfind("\r", 0, found.start())) + 1,
            found.start(),
            found.end(),
        )
        for found in _MARKER.finditer(text)
    ]


def _unknown(name: str, marks: list[_Mark], file: str) -> EditRefused:
    names = sorted({mark.name for mark in marks})
    near = difflib.get_close_matches(name, names, n=1)
    there = (
        f"the markers there are: {', '.join(names)}" if names else f"end a line with '# pipegraft:set={name}'"
    )
    return EditRefused(
        f"no line is marked '# pipegraft:set={name}'",
        place=Place(file),
        fix=f"did you mean {near[0]}?" if near else there,
    )


def _edited_line(text: str, mark: _Mark, value: Scalar, file: str) -> str:
    # With as many line breaks in front as in the file, errors name the right place.
    above = "\n" * (place_in(text, mark.line).line - 1)
    line = text[mark.line : mark.end]
    try:
        source = parse(above + line, file)
    except EditRefused as error:
        raise EditRefused(error.problem.message, place=error.problem.place, fix=_MARK_ANOTHER) from None
    steps = _steps_to_value(source, len(above + line) - len(source.bom) - (mark.end - mark.start))
    change = set_scalar(source, steps, steps[-1].value, value)
    return make(source, [change])[len(above) :] if change else line


def _steps_to_value(source: Source, marker: int) -> tuple[Step, ...]:
    """The way to the one value of a line: through dashes, and through a key."""
    steps: list[Step] = []
    node = source.documents[0] + 1 if source.documents else 0
    while isinstance(source.events[node], MappingStartEvent | SequenceStartEvent) and not is_flow(
        source, node
    ):
        children = source.children(node)
        mapping = isinstance(source.events[node], MappingStartEvent)
        steps.append(Step(node, children[0] if mapping else None, children[-1]))
        node = children[-1]
    event = source.events[node]
    if not steps or not isinstance(event, ScalarEvent) or event.style in {"|", ">"}:
        raise _unclear(source, marker, "expected one value in front of the marker")
    if source.end(node) > marker:
        raise _unclear(source, marker, "the marker stands inside a string")
    if _TEMPLATE.search(event.value):
        raise _unclear(source, marker, "the value in front of the marker holds a template expression")
    return tuple(steps)


def _unclear(source: Source, marker: int, message: str) -> EditRefused:
    return EditRefused(message, place=source.place(marker), fix=_MARK_ANOTHER)


def _prove(text: str, new: str, values: list[Scalar], file: str) -> None:
    """Where the whole is YAML, exactly the scalars marked have changed to exactly their values."""
    try:
        old = read_events(text.removeprefix("\ufeff"))
    except EditRefused:
        return
    changed = _changed(old, read_events(new.removeprefix("\ufeff")))
    if len(changed) != len(values) or not all(map(means, changed, values)):
        raise EditRefused(
            "the marked line does not stand alone: with the new value the file would mean something else",
            place=Place(file),
            fix="set the value by its path",
        )


def changed_scalars(text: str, new: str) -> list[tuple[str, str]] | None:
    """Scalars that read otherwise in another version of a text, old and new; None if the text is no YAML.

    Raises:
        EditRefused: more than the values of scalars is another, or the new text is no YAML.
    """
    try:
        old = read_events(text.removeprefix("\ufeff"))
    except EditRefused:
        return None
    events = read_events(new.removeprefix("\ufeff"))
    pairs = [(before, after) for before, after in zip_longest(old, events) if not alike(before, after)]
    for before, after in pairs:
        if not (isinstance(before, ScalarEvent) and isinstance(after, ScalarEvent)):
            raise EditRefused("more than a value would be another one", fix="make this edit by hand")
    return [(before.value, after.value) for before, after in pairs]


def _changed(old: list[Event], new: list[Event]) -> list[Event]:
    return [after for before, after in zip_longest(old, new) if not alike(before, after)]
