"""`pipegraft yaml`: single values of YAML files."""

from __future__ import annotations

import difflib
import io
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import click

from pipegraft.cli.common import json_option, print_json
from pipegraft.core.adapters.files import write_atomically
from pipegraft.core.errors import EditRefused, Place, UsageError
from pipegraft.core.foreign_text import echo, write_data
from pipegraft.text import yaml
from pipegraft.text.yaml import split_assignment
from pipegraft.text.yaml.reading import Read, get_value

__all__ = ["yaml_command"]


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


_KINDS = ("auto", "string", "int", "float", "bool", "null", "yaml")

document_option = click.option(
    "--document", type=click.IntRange(min=0), help="Which of several documents, counted from 0."
)


@click.group("yaml")
def yaml_command() -> None:
    """Read or set single values in YAML files, leaving every other byte alone.

    A PATH is written with dots: spec.containers[0].image, or spec.containers[name=web].image for the item
    that has this name. A key that holds a dot or a bracket is written ["app.kubernetes.io/name"]. A FILE
    named - is standard input.
    """


@yaml_command.command("get")
@click.argument("file")
@click.argument("path")
@document_option
@json_option
def get(file: str, path: str, document: int | None, as_json: bool) -> None:
    """Print the value at PATH, following aliases and merge keys.

    A scalar is printed as it reads, a collection as YAML. With --json numbers, booleans and null are
    typed where YAML 1.1 and 1.2 agree on them; yes, 0123 and 1e3 are strings.
    """
    text, keys = read_file(file), yaml.parse_path(path)
    if as_json:
        print_json(yaml.get_value(text, keys, document=document, file=file))
    else:
        write_data(yaml.get_text(text, keys, document=document, file=file) + "\n")


@yaml_command.command("set")
@click.argument("file")
@click.argument("path", required=False)
@click.argument("value", required=False)
@click.option("--set", "more", multiple=True, metavar="PATH=VALUE", help="Set another value; repeatable.")
@click.option(
    "--marked",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set the string in front of a comment '# pipegraft:set=NAME', also in a template; repeatable.",
)
@document_option
@click.option(
    "--type",
    "kind",
    type=click.Choice(_KINDS),
    default="auto",
    show_default=True,
    help="What VALUE is read as. auto: a string, unless a number, a boolean or null stands there already.",
)
@click.option("--create", is_flag=True, help="Add keys that are missing, at the end of their mapping.")
@click.option("--detach-alias", is_flag=True, help="Let the value take the place of an alias (*name).")
@click.option(
    "--add-inherited", is_flag=True, help="Add a key that comes through '<<' to the mapping itself."
)
@click.option("--dry-run", is_flag=True, help="Print the difference and write nothing.")
def set_(
    *,
    file: str,
    path: str | None,
    value: str | None,
    more: tuple[str, ...],
    marked: tuple[str, ...],
    document: int | None,
    kind: str,
    create: bool,
    detach_alias: bool,
    add_inherited: bool,
    dry_run: bool,
) -> None:
    """Set the value at PATH, and no other byte.

    Comments, quotes, indentation and line ends stay. The file is replaced in one step, or not at all:
    what cannot be done exactly is refused with exit code 2.
    """
    words = [] if path is None or value is None else [(path, value)]
    if (path is None) != (value is None):
        raise click.UsageError("expected PATH and VALUE together, or neither and --set PATH=VALUE")
    words += [_split(word) for word in more]
    if not words and not marked:
        raise click.UsageError("nothing to set: give PATH and VALUE, --set PATH=VALUE or --marked NAME=VALUE")
    edited = edit_file(
        file,
        [Assignment(where, what, kind) for where, what in words],  # type: ignore[arg-type]  # a Choice of them
        marked=dict(_split(word) for word in marked),
        document=document,
        create=create,
        detach_aliases=detach_alias,
        add_inherited=add_inherited,
    )
    for place in edited.shared:
        echo(f"note: {place}: this alias stands for what is edited, and changes with it", err=True)
    if dry_run:
        write_data(edited.diff())
    else:
        write_file(edited)


def _split(word: str) -> tuple[str, str]:
    found = split_assignment(word)
    if found is None:
        raise click.UsageError(f"expected PATH=VALUE, found {word!r}")
    return found
