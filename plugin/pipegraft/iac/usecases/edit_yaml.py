"""Single values of a YAML file: read them, set them, and leave every other byte alone."""

from __future__ import annotations

import difflib
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipegraft.core.adapters.files import write_atomically
from pipegraft.core.errors import Place, UsageError
from pipegraft.core.views.terminal import write_data
from pipegraft.text import yaml
from pipegraft.text.yaml.cli_values import Kind, value_of

__all__ = ["STANDARD_STREAM", "Assignment", "EditedFile", "edit_file", "read_file", "write_file"]

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
