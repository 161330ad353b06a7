"""`pipegraft yaml`: single values of YAML files."""

from __future__ import annotations

import click

from pipegraft.cli.common import json_option, print_json
from pipegraft.core.foreign_text import echo, write_data
from pipegraft.iac.usecases.edit_yaml import Assignment, edit_file, read_file, write_file
from pipegraft.text import yaml
from pipegraft.text.yaml import split_assignment

__all__ = ["yaml_command"]

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
