"""Single values of a YAML file: read them, set them, and leave every other byte alone."""

from __future__ import annotations

import difflib
import io
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pipegraft.core.adapters.files import write_atomically
from pipegraft.core.errors import EditRefused, Place, UsageError
from pipegraft.core.foreign_text import write_data
from pipegraft.text import yaml
from pipegraft.text.yaml.reading import Read, get_value

__all__ = [
    "STANDARD_STREAM",
    "Assignment",
    "EditedFile",
    "Kind",
    "edit_file",
    "read_file",
    "value_of",
    "write_file",
]


Kind: TypeAlias = Literal["auto", "string", "int", "float", "bool", "null", "yaml"]
"""What a word is read as; ``auto`` goes by the value that it replaces."""

_INT = re.compile(r"0|-?[1-9][0-9]*")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)\.(?:0|[0-9]*[1-9])")
_BOOL = {"true": True, "false": False}


def value_of(word: str, kind: Kind = "auto", replaced: Read = "") -> Read:
    """Read a word.

    ``auto`` gives a string, unless a bool, a number or null stands in the place already and the word is
    written the one way that such a value is written: ``3``, ``0.5``, ``true``, ``null``. ``1.10`` is always
    a string, since as a number it would lose its last digit.

    Arguments:
        word: the text.
        kind: what to read it as.
        replaced: the value that stands in the place, for ``auto``.

    Returns:
        The value; ``yaml`` may also give a list or a dict.

    Raises:
        EditRefused: the word is no such value.
    """
    if kind == "string":
        return word
    if kind == "auto":
        return _like(word, replaced)
    if kind == "yaml":
        return get_value(word, (), file="<value>")
    reads = {"int": _number(word, whole=True), "float": _number(word), "bool": _BOOL.get(word)}
    value = reads.get(kind)
    if value is None and not (kind == "null" and word == "null"):
        raise EditRefused(f"{word!r} is no {kind}", fix=f"write {_EXAMPLES[kind]}, or choose another type")
    return value


_EXAMPLES = {
    "int": "a number such as 3",
    "float": "a number such as 0.5",
    "bool": "true or false",
    "null": "null",
}


def _like(word: str, replaced: Read) -> Read:
    if isinstance(replaced, bool):
        return _BOOL.get(word, word)
    if isinstance(replaced, int | float):
        number = _number(word)
        return word if number is None else number
    return None if replaced is None and word == "null" else word


def _number(word: str, *, whole: bool = False) -> int | float | None:
    if _INT.fullmatch(word):
        return int(word)
    return float(word) if _FLOAT.fullmatch(word) and not whole else None


STANDARD_STREAM = "-"
"""The file name that means standard input, and standard output for what is written."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One value to set.

    Arguments:
        path: where, as users write it.
        word: the value, as users write it.
        kind: what to read the word as.
    """

    path: str
    word: str
    kind: Kind = "auto"


@dataclass(frozen=True, slots=True)
class EditedFile:
    """A file's text before and after an edit that is not written yet.

    Arguments:
        name: the file, as the user named it.
        before: its text.
        after: its text with the edit made.
        shared: the aliases whose values change too, because they stand for what was edited.
    """

    name: str
    before: str
    after: str
    shared: tuple[Place, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the edit makes a difference."""
        return self.before != self.after

    def diff(self) -> str:
        """The difference, as ``diff -u`` prints it; empty if there is none."""
        lines = difflib.unified_diff(
            _lines(self.before), _lines(self.after), f"a/{self.name}", f"b/{self.name}"
        )
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
        )


def _lines(text: str) -> list[str]:
    return list(io.StringIO(text, newline="\n"))


def edit_file(
    name: str,
    assignments: Sequence[Assignment],
    *,
    marked: Mapping[str, str] | None = None,
    document: int | None = None,
    create: bool = False,
    detach_aliases: bool = False,
    add_inherited: bool = False,
) -> EditedFile:
    """Set values in a file's text; write nothing.

    Arguments:
        name: the file, or ``-``.
        assignments: what to set, in order.
        marked: name of a marker comment to the string to set in front of it.
        document: the number of the document, from 0.
        create: whether to add keys that are missing.
        detach_aliases: whether a value may take the place of an alias.
        add_inherited: whether a key that comes through ``<<`` may be added to the mapping itself.

    Raises:
        UsageError: the file cannot be read, or an edit cannot be made exactly.
    """
    before = after = read_file(name)
    shared: list[Place] = []
    for assignment in assignments:
        path = yaml.parse_path(assignment.path)
        exists = not create or yaml.has_path(after, path, document=document, file=name)
        replaced = yaml.get_value(after, path, document=document, file=name) if exists else ""
        value = value_of(assignment.word, assignment.kind, replaced)
        edit = yaml.Put(path, value) if create or isinstance(value, list | dict) else yaml.Set(path, value)
        if exists:
            shared += yaml.aliases_of(after, path, document=document, file=name)
        after = yaml.apply(
            after,
            [edit],
            document=document,
            file=name,
            on_alias="detach" if detach_aliases else "refuse",
            on_inherited="add" if add_inherited else "refuse",
        )
    if marked:
        after = yaml.set_marked(after, marked, file=name)
    return EditedFile(name, before, after, tuple(shared) if after != before else ())


def read_file(name: str) -> str:
    """Text of a file, line ends and byte-order mark untouched.

    Arguments:
        name: the file, or ``-`` for standard input.

    Raises:
        UsageError: it cannot be read, or is not UTF-8.
    """
    if name == STANDARD_STREAM:
        return yaml.decode(sys.stdin.buffer.read(), "<stdin>")
    try:
        return yaml.decode(Path(name).read_bytes(), name)
    except FileNotFoundError:
        raise UsageError("the file does not exist", place=Place(name), fix="check its name") from None
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", place=Place(name)) from None


def write_file(edited: EditedFile) -> None:
    """Replace the file in one step, or print the text where it came from standard input.

    Raises:
        UsageError: it cannot be written; it is as before.
    """
    if edited.name == STANDARD_STREAM:
        write_data(edited.after)
    elif edited.changed:
        try:
            write_atomically(Path(edited.name), edited.after.encode())
        except OSError as error:
            raise UsageError(f"cannot be written: {error.strerror}", place=Place(edited.name)) from None
