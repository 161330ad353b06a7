"""Edits as data, and what applies them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pipegraft.text.yaml.changes import make
from pipegraft.text.yaml.paths import Path, parse_path
from pipegraft.text.yaml.planning import Policy, plan_insert, plan_put, plan_remove, plan_set
from pipegraft.text.yaml.source import parse
from pipegraft.text.yaml.values import Scalar, Value

__all__ = ["Edit", "Insert", "Put", "Remove", "Set", "apply", "set_values"]


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
