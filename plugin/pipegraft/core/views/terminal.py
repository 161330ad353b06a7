"""The one way to a terminal: what strangers wrote is shown, not obeyed."""

from __future__ import annotations

import sys
from typing import TextIO

import click

from pipegraft.core.foreign_text import printable, redacted

__all__ = ["echo", "safe", "write_data", "write_line"]


def echo(text: str, *, err: bool = False) -> None:
    """Lines for people."""
    click.echo(safe(text), err=err)


def write_line(stream: TextIO, text: str) -> None:
    """One line of a log; a line end in it begins no line that looks like another."""
    stream.write(safe(text).replace("\n", "\n    ") + "\n")
    stream.flush()


def safe(text: str) -> str:
    """The text without secrets, and with what would command a terminal spelled out."""
    return printable(redacted(text))


def write_data(text: str) -> None:
    """Data for other programs on standard output, byte for byte; printable where a person looks."""
    click.echo(printable(text) if sys.stdout.isatty() else text, nl=False)
