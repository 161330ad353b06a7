"""The manual page of all commands, in roff, from their own help: ``python docs/man_page.py``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from pipegraft import __version__
from pipegraft.cli import main
from pipegraft.core.foreign_text import write_data

__all__ = ["man_page"]

_HEAD = (
    f'.TH PIPEGRAFT 1 "" "pipegraft {__version__}"',
    ".SH NAME",
    r"pipegraft \- cloud-native delivery, grafted onto the CI you already have",
    ".SH SYNOPSIS",
    r".B pipegraft",
    r"COMMAND [\fIOPTION\fR...] [\fIARGUMENT\fR...]",
    ".SH COMMANDS",
)
_NOTHING = r"\&"
_TAIL = (
    ".SH EXIT STATUS",
    ".IP 0\ndone",
    ".IP 1\nthe delivery said no: a build or a sync failed, a release was taken back or vetoed",
    ".IP 2\nwrong usage or configuration",
    ".IP 3\nan outside system failed or timed out; it is safe to try again",
    ".IP 70\na defect in pipegraft",
)


def man_page() -> str:
    """The page as roff (man(7)), with every command, its options and their meaning."""
    return "\n".join((*_HEAD, *_commands(main, "pipegraft"), *_TAIL)) + "\n"


def _commands(group: click.Group, path: str) -> Iterator[str]:
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        called = f"{path} {name}"
        yield from _command(command, called)
        if isinstance(command, click.Group):
            yield from _commands(command, called)


def _command(command: click.Command, called: str) -> Iterator[str]:
    context = click.Context(command, info_name=called)
    yield f'.SS "{_plain(called)}"'
    yield f"{_plain(' '.join(command.collect_usage_pieces(context)))}"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield ".PP"
        yield _plain(" ".join(paragraph.replace("\b", "").split()))
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record:
            yield f".TP\n\\fB{_plain(record[0])}\\fR\n{_plain(' '.join(record[1].split())) or _NOTHING}"


def _plain(text: str) -> str:
    """Text that roff takes as it is; no line of it begins with a dot or an apostrophe (groff(7))."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


if __name__ == "__main__":
    write_data(man_page())
